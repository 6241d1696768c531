"""Where to look along rays: bins, and finer bins where coarser ones found matter.

s is the place along a ray's stretch in [0, 1], and t the distance in scene units; a spacing
says how one becomes the other.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.step_function import blur_max, outer, sample

Spacing = Literal["linear", "disparity"]
"""Bins of equal length, or of equal difference of 1/t (Mip-NeRF 360, eq. 11)."""


@dataclass(frozen=True)
class RayInterval:
    """The part of each ray that is looked at."""

    near: Float[Tensor, "rays"]
    far: Float[Tensor, "rays"]
    spacing: Spacing = "linear"

    def distance(self, s: Float[Tensor, "rays edges"]) -> Float[Tensor, "rays edges"]:
        """t at s."""
        near, far = self.near[:, None], self.far[:, None]
        if self.spacing == "linear":
            return near + (far - near) * s
        return 1 / (1 / near + (1 / far - 1 / near) * s)

    def mean_distance(
        self, s: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays bins"]
    ) -> Float[Tensor, "rays"]:
        """t at the mean s of where the light comes from.

        By disparity, a little light from afar hardly moves it; it would be all of a mean of t.
        """
        middles = (s[:, 1:] + s[:, :-1]) / 2
        mean = (weights * middles).sum(1) / weights.sum(1).clamp_min(1e-6)
        return self.distance(mean[:, None])[:, 0]


def even_edges(
    num_rays: int, bins: int, generator: torch.Generator | None
) -> Float[Tensor, "num_rays edges"]:
    """Edges of equal bins of [0, 1]; with a generator each inner one is moved at random.

    Stratified sampling (NeRF, eq. 2), of edges: an edge moves by up to half a bin either way.
    On the CPU, as the generator.
    """
    edges = torch.linspace(0, 1, bins + 1).expand(num_rays, -1)
    if generator is not None:
        moved = (torch.rand(num_rays, bins + 1, generator=generator) - 0.5) / bins
        moved[:, 0], moved[:, -1] = 0, 0
        edges = edges + moved
    return edges


def finer_edges(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    bins: int,
    generator: torch.Generator | None,
) -> Float[Tensor, "rays finer"]:
    """Edges between which equal shares of the weights' mass lie (NeRF, sec. 5.2).

    With a generator, shares are drawn one from each of equal parts. No gradient flows.
    """
    num_rays = len(edges)
    u = torch.linspace(0, 1, bins + 1).expand(num_rays, -1)
    if generator is not None:
        u = u + (torch.rand(num_rays, bins + 1, generator=generator) - 0.5) / bins
    u = u.clamp(0, 1).to(edges.device)
    return sample(edges, weights.detach(), u)


def widened(weights: Float[Tensor, "rays bins"], padding: float) -> Float[Tensor, "rays bins"]:
    """Maxima and averages of neighbours, plus a constant (mip-NeRF, sec. 3.2)."""
    return blur_max(weights) + padding


def annealed(
    weights: Float[Tensor, "rays bins"], fraction: float, slope: float = 10.0
) -> Float[Tensor, "rays bins"]:
    """Flattened at the beginning of training (Mip-NeRF 360, sec. D of the supplement).

    w^{b x / (1 + (b − 1) x)} for the share x of the training that is over.
    """
    return weights.pow(slope * fraction / (1 + (slope - 1) * fraction))


def interlevel_loss(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    proposal_edges: Float[Tensor, "rays proposal_edges"],
    proposal_weights: Float[Tensor, "rays proposal_bins"],
) -> Float[Tensor, ""]:
    """What a proposal lacks of an upper bound on the weights (Mip-NeRF 360, eq. 13).

    The mean over rays of Σ max(0, w − bound)² / w; only the proposal learns from it.
    """
    bound = outer(proposal_edges, proposal_weights, edges)
    goal = weights.detach()
    missing = (goal - bound).clamp_min(0).square() / (goal + 1e-7)
    return missing.sum(1).mean()

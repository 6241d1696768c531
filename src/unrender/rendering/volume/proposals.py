"""Samples along rays: bins, and finer bins where coarser ones have high weights.

s in [0, 1] is the normalized position in a ray's interval, and t the distance in scene units; a
spacing maps one to the other.
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
    """The interval of each ray that is sampled."""

    near: Float[Tensor, "rays"]
    far: Float[Tensor, "rays"]
    spacing: Spacing = "linear"

    def distance(self, s: Float[Tensor, "rays edges"]) -> Float[Tensor, "rays edges"]:
        """Distance t at normalized position s."""
        near, far = self.near[:, None], self.far[:, None]
        if self.spacing == "linear":
            return near + (far - near) * s
        # 1/near + (1/far − 1/near) s would cancel at the far end.
        return 1 / ((1 - s) / near + s / far)


def even_edges(
    num_rays: int, bins: int, generator: torch.Generator | None
) -> Float[Tensor, "num_rays edges"]:
    """Edges of equal bins of [0, 1]; with a generator, inner edges are jittered.

    Stratified sampling (NeRF, eq. 2) of edges: each moves by up to half a bin either way.
    Returned on the CPU, where the generator is.
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
    """Edges at quantiles of the weights: inverse transform sampling (NeRF, sec. 5.2).

    Quantiles are evenly spaced, or jittered with a generator. No gradients flow.
    """
    num_rays = len(edges)
    u = torch.linspace(0, 1, bins + 1).expand(num_rays, -1)
    if generator is not None:
        u = u + (torch.rand(num_rays, bins + 1, generator=generator) - 0.5) / bins
    u = u.clamp(0, 1).to(edges.device)
    return sample(edges, weights.detach(), u)


def widened(weights: Float[Tensor, "rays bins"], padding: float) -> Float[Tensor, "rays bins"]:
    """Weights after a max filter and a blur, plus a constant (mip-NeRF, sec. 3.2)."""
    return blur_max(weights) + padding


def annealed(
    weights: Float[Tensor, "rays bins"], fraction: float, slope: float = 10.0
) -> Float[Tensor, "rays bins"]:
    """Weights flattened early in training (Mip-NeRF 360, sec. D of the supplement).

    w^{b x / (1 + (b − 1) x)} with b = `slope` and x the fraction of training that is done.
    """
    return weights.pow(slope * fraction / (1 + (slope - 1) * fraction))


def interlevel_loss(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    proposal_edges: Float[Tensor, "rays proposal_edges"],
    proposal_weights: Float[Tensor, "rays proposal_bins"],
) -> Float[Tensor, ""]:
    """Penalty where a proposal fails to bound the weights from above (Mip-NeRF 360, eq. 13).

    Mean over rays of Σ max(0, w − bound)² / w; gradients reach only the proposal.
    """
    bound = outer(proposal_edges, proposal_weights, edges)
    goal = weights.detach()
    missing = (goal - bound).clamp_min(0).square() / (goal + 1e-7)
    return missing.sum(1).mean()

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

Spacing = Literal["linear", "disparity", "piecewise"]
"""Bins of equal length; of equal difference of 1/t (Mip-NeRF 360, eq. 11); or of equal length
up to `unit` and of equal difference of 1/t beyond (nerfacto)."""


@dataclass(frozen=True)
class RayInterval:
    """The interval of each ray that is sampled."""

    near: Float[Tensor, "rays"]
    far: Float[Tensor, "rays"]
    spacing: Spacing = "linear"
    unit: float | Tensor = 1.0
    """Distance at which piecewise spacing turns from lengths to disparities: s = t / 2 up to
    it, in units, and 1 − 1 / (2 t) beyond."""

    def distance(self, s: Float[Tensor, "rays edges"]) -> Float[Tensor, "rays edges"]:
        """Distance t at normalized position s."""
        near, far = self.near[:, None], self.far[:, None]
        if self.spacing == "linear":
            return near + (far - near) * s
        if self.spacing == "piecewise":
            first, last = (_piecewise(t / self.unit) for t in (near, far))
            x = first + (last - first) * s
            return self.unit * torch.where(x < 0.5, 2 * x, 0.5 / (1 - x))
        # 1/near + (1/far − 1/near) s would cancel at the far end.
        return 1 / ((1 - s) / near + s / far)


def _piecewise(t: Float[Tensor, "rays 1"]) -> Float[Tensor, "rays 1"]:
    return torch.where(t < 1, t / 2, 1 - 0.5 / t.clamp_min(1e-12))


def _jitter(
    num_rays: int, bins: int, generator: torch.Generator, single: bool
) -> Float[Tensor, "num_rays edges"]:
    """Up to half a bin either way for each edge, or one shift for all edges of a ray."""
    drawn = torch.rand(num_rays, 1 if single else bins + 1, generator=generator)
    return ((drawn - 0.5) / bins).expand(-1, bins + 1)


def even_edges(
    num_rays: int, bins: int, generator: torch.Generator | None, single: bool = False
) -> Float[Tensor, "num_rays edges"]:
    """Edges of equal bins of [0, 1]; with a generator, inner edges are jittered.

    Stratified sampling (NeRF, eq. 2) of edges: each moves by up to half a bin either way, or
    with `single` all of a ray together. Returned on the CPU, where the generator is.
    """
    edges = torch.linspace(0, 1, bins + 1).expand(num_rays, -1)
    if generator is not None:
        moved = _jitter(num_rays, bins, generator, single).clone()
        moved[:, 0], moved[:, -1] = 0, 0
        edges = edges + moved
    return edges


def finer_edges(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    bins: int,
    generator: torch.Generator | None,
    single: bool = False,
) -> Float[Tensor, "rays finer"]:
    """Edges at quantiles of the weights: inverse transform sampling (NeRF, sec. 5.2).

    Quantiles are evenly spaced, or jittered with a generator as in `even_edges`. No gradients
    flow.
    """
    num_rays = len(edges)
    u = torch.linspace(0, 1, bins + 1).expand(num_rays, -1)
    if generator is not None:
        u = u + _jitter(num_rays, bins, generator, single)
    u = u.clamp(0, 1).to(edges.device)
    return sample(edges, weights.detach(), u)


def widened(weights: Float[Tensor, "rays bins"], padding: float) -> Float[Tensor, "rays bins"]:
    """Weights after a max filter and a blur, plus a constant (mip-NeRF, sec. 3.2)."""
    return blur_max(weights) + padding


def dilated(
    edges: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays bins"], dilation: float
) -> tuple[Float[Tensor, "rays finer"], Float[Tensor, "rays finer_bins"]]:
    """A histogram over [0, 1] widened by a max filter of width 2 × dilation, with unit mass.

    Mip-NeRF 360, sec. D of the supplement: at each position the largest density of the bins
    within `dilation`, so that resampling does not miss what a rotated camera sees.
    """
    density = weights / edges.diff(dim=1).clamp_min(1e-12)
    low, high = edges[:, :-1] - dilation, edges[:, 1:] + dilation
    finer = torch.cat([edges, low, high], dim=1).sort(dim=1).values.clamp(0, 1)
    at = finer[:, :-1, None]
    inside = (low[:, None] <= at) & (at < high[:, None])
    largest = torch.where(inside, density[:, None], 0.0).amax(2)
    mass = largest * finer.diff(dim=1)
    return finer, mass / mass.sum(1, keepdim=True).clamp_min(1e-12)


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

    Mean over rays and bins of max(0, w − bound)² / w, as in the authors' code (the equation has
    a sum over bins); gradients reach only the proposal.
    """
    bound = outer(proposal_edges, proposal_weights, edges)
    goal = weights.detach()
    missing = (goal - bound).clamp_min(0).square() / (goal + 1e-7)
    return missing.mean()

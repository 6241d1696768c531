"""VolSDF: density from a signed distance, and samples with bounded opacity error.

Yariv, Gu, Kasten, Lipman, "Volume Rendering of Neural Implicit Surfaces", NeurIPS 2021,
https://arxiv.org/abs/2106.12052.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.fields.surface_networks import SDFSamples
from unrender.rendering.volume.compositing import bin_weights
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges, widened
from unrender.rendering.volume.surface_density import (
    laplace_density,
    opacity_error_bounds,
    safe_beta,
)
from unrender.training.surface_method import SurfaceMethod, SurfaceModel

PADDING = 0.01
"""Padding of the weights for resampling, so that every bin keeps some probability."""
BISECTIONS = 8


@dataclass(frozen=True)
class VolSDF(SurfaceMethod):
    """Signed distances, density by the Laplace CDF, error-bounded samples (2021)."""

    tolerance: float = 0.1
    """Bound ε on the error of a ray's opacity up to any position on it."""
    rounds: int = 2
    """Maximum number of rounds in which samples are added where the bound is exceeded."""

    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return laplace_density(distance, model.width.detach())

    def edges(
        self,
        model: SurfaceModel,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        near: Float[Tensor, "rays"],
        far: Float[Tensor, "rays"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "rays edges"]:
        """Edges sampled from the opacity of the least β within the bound (alg. 1)."""

        def look(t: Float[Tensor, "rays edges"]) -> Float[Tensor, "rays edges"]:
            points = origins[:, None] + t[..., None] * directions[:, None]
            return model.field.distance(points.view(-1, 3)).view(t.shape)

        stretch = RayInterval(near, far)
        t = stretch.distance(
            even_edges(len(near), self.coarse_samples, generator).to(near.device)
        )
        distance = look(t)
        wanted = model.width.expand(len(near))
        for again in range(self.rounds + 1):
            bounds = opacity_error_bounds(distance, t, wanted)
            if again == self.rounds or not bool((bounds.amax(1) > self.tolerance).any()):
                break
            # More samples where the bound grows most, and all of them sorted again.
            grown = torch.diff(bounds, dim=1, prepend=torch.zeros_like(bounds[:, :1])).relu()
            more = finer_edges(t, grown + 1e-6, self.coarse_samples, generator)
            t, order = torch.cat([t, more], dim=1).sort(dim=1)
            distance = torch.cat([distance, look(more)], dim=1).gather(1, order)
        beta = bounded_beta(distance, t, wanted, self.tolerance)
        weights = bin_weights(laplace_density(distance[:, :-1], beta[:, None]), t)
        return finer_edges(t, widened(weights, PADDING), self.bins, generator)

    def optical_depth(
        self,
        model: SurfaceModel,
        local: SDFSamples,
        directions: Float[Tensor, "points 3"],
        length: Float[Tensor, "points"],
        fraction: float,
    ) -> Float[Tensor, "points"]:
        return laplace_density(local.distance, model.width) * length


def bounded_beta(
    distance: Float[Tensor, "rays edges"],
    t: Float[Tensor, "rays edges"],
    wanted: Float[Tensor, "rays"],
    tolerance: float,
) -> Float[Tensor, "rays"]:
    """The smallest β above the current one that satisfies the bound, by bisection."""
    low = wanted
    # From the longest bin: the bound for equal bins of that length is an upper bound.
    bins = t.shape[1] - 1
    high = safe_beta(bins * t.diff(dim=1).amax(1), bins, tolerance).maximum(wanted)
    kept = opacity_error_bounds(distance, t, wanted).amax(1) <= tolerance
    high = torch.where(kept, wanted, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = opacity_error_bounds(distance, t, middle).amax(1) <= tolerance
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    return high

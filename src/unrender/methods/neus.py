"""NeuS: a signed distance whose rendering weights are greatest on its surface.

Wang, Liu, Liu, Theobalt, Komura, Wang, "NeuS: Learning Neural Implicit Surfaces by Volume
Rendering for Multi-view Reconstruction", NeurIPS 2021, https://arxiv.org/abs/2106.10689.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.fields.surface_networks import SDFSamples
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges, widened
from unrender.rendering.volume.surface_density import logistic_depth
from unrender.training.surface_method import SurfaceMethod, SurfaceModel

PADDING = 0.01
"""Added to the weights that are resampled, so that no bin is forgotten."""


@dataclass(frozen=True)
class NeuS(SurfaceMethod):
    """Signed distances, unbiased weights by the logistic CDF (2021)."""

    annealed: float = 0.1
    """Share of the fit in which surfaces that face away from a ray count too, ever less."""

    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Of a ray that goes straight inward: s (1 − Φ(f)) (NeuS, eq. 10)."""
        sharpness = 1 / model.width.detach()
        return sharpness * (-sharpness * distance).sigmoid()

    def edges(
        self,
        model: SurfaceModel,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        near: Float[Tensor, "rays"],
        far: Float[Tensor, "rays"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "rays edges"]:
        """Drawn by the weights that the field would have if it was linear between looks."""
        stretch = RayInterval(near, far)
        t = stretch.distance(even_edges(len(near), self.looks, generator).to(near.device))
        points = origins[:, None] + t[..., None] * directions[:, None]
        distance = model.field.distance(points.view(-1, 3)).view(t.shape)
        depth = logistic_depth(distance[:, :-1], distance[:, 1:], 1 / model.width)
        in_front = depth.cumsum(1) - depth
        weights = (-in_front).exp() * -torch.expm1(-depth)
        return finer_edges(t, widened(weights, PADDING), self.bins, generator)

    def optical_depth(
        self,
        model: SurfaceModel,
        local: SDFSamples,
        directions: Float[Tensor, "points 3"],
        length: Float[Tensor, "points"],
        fraction: float,
    ) -> Float[Tensor, "points"]:
        """By the distance at the bins' edges, as the slope in the middle tells them.

        Only what faces the ray stops light. At first, half of what is seen sideways and from
        behind does too, so that all learns.
        """
        cosine = (local.gradient * directions).sum(1)
        share = min(fraction / self.annealed, 1.0) if self.annealed else 1.0
        facing = (-cosine).relu()
        if share < 1:
            facing = share * facing + (1 - share) * (0.5 - 0.5 * cosine).relu()
        half = facing * length / 2
        return logistic_depth(local.distance + half, local.distance - half, 1 / model.width)

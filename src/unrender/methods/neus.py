"""NeuS: a signed distance rendered with weights that peak on its surface.

Wang, Liu, Liu, Theobalt, Komura, Wang, "NeuS: Learning Neural Implicit Surfaces by Volume
Rendering for Multi-view Reconstruction", NeurIPS 2021, https://arxiv.org/abs/2106.10689.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.fields.surface_networks import SDFSamples
from unrender.rendering.volume.compositing import depth_weights
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges, widened
from unrender.rendering.volume.surface_density import logistic_depth
from unrender.training.surface_method import SurfaceMethod, SurfaceModel

PADDING = 0.01
"""Padding of the weights for resampling, so that every bin keeps some probability."""


@dataclass(frozen=True)
class NeuS(SurfaceMethod):
    """Signed distances, unbiased weights by the logistic CDF (2021)."""

    anneal_until: float = 0.1
    """Fraction of training over which back-facing surfaces contribute, ever less (cosine
    annealing)."""

    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Density along a ray antiparallel to the normal: s (1 − Φ(f)) (NeuS, eq. 10)."""
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
        """Edges sampled from the field's weights, linear between coarse samples."""
        stretch = RayInterval(near, far)
        t = stretch.distance(
            even_edges(len(near), self.coarse_samples, generator).to(near.device)
        )
        points = origins[:, None] + t[..., None] * directions[:, None]
        distance = model.field.distance(points.view(-1, 3)).view(t.shape)
        depth = logistic_depth(distance[:, :-1], distance[:, 1:], 1 / model.width)
        return finer_edges(t, widened(depth_weights(depth), PADDING), self.bins, generator)

    def optical_depth(
        self,
        model: SurfaceModel,
        local: SDFSamples,
        directions: Float[Tensor, "points 3"],
        length: Float[Tensor, "points"],
        fraction: float,
    ) -> Float[Tensor, "points"]:
        """Optical depths from distances at the edges of bins, extrapolated from midpoints.

        Only surfaces that face the ray absorb light. At the start of training, grazing and
        back-facing ones do too, by half, so that everything has gradients.
        """
        cosine = (local.gradient * directions).sum(1)
        share = min(fraction / self.anneal_until, 1.0) if self.anneal_until else 1.0
        facing = (-cosine).relu()
        if share < 1:
            facing = share * facing + (1 - share) * (0.5 - 0.5 * cosine).relu()
        half = facing * length / 2
        return logistic_depth(local.distance + half, local.distance - half, 1 / model.width)

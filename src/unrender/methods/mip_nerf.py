"""mip-NeRF: pixels as cones, which antialiases a scene at every scale.

Barron, Mildenhall, Tancik, Hedman, Martin-Brualla, Srinivasan, "Mip-NeRF: A Multiscale
Representation for Anti-Aliasing Neural Radiance Fields", ICCV 2021,
https://arxiv.org/abs/2103.13415.

A pixel is a cone. Each bin along it is a conical frustum, which is encoded as the Gaussian of
the same mean and covariance (integrated positional encoding, eq. 7 to 14): frequencies finer
than the frustum fade out. One network serves the coarse bins and the fine ones resampled from
their weights.

The preset `mip-nerf` has the sizes, rates and samples of the paper and its code. Where it
differs: a ray's interval is that of the bounding sphere, not a near and a far plane; the
warm-up is linear rather than a sine; and images with alpha are compared over all backgrounds
rather than over white (`training/pixels.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.fields.encodings import (
    along_axes,
    integrated_encoding,
    positional_encoding,
    with_identity,
)
from unrender.fields.networks import RadianceNetwork, padded_sigmoid
from unrender.geometry.cameras import Rays
from unrender.geometry.frustums import frustum_gaussians
from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges, widened
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

NEAREST = 0.05
"""Near plane of the rays, in radii of the bounding sphere."""
PADDING = 0.01
"""Padding of the weights for resampling, so that every bin keeps some probability (sec.
3.2)."""


class MipNeRFModel(RayModel):
    """One network for coarse and fine bins."""

    def __init__(self, options: "MipNeRF", generator: torch.Generator):
        super().__init__()
        self.options = options
        encoded = 6 * options.frequencies, 6 * options.direction_frequencies
        encoded = encoded[0], encoded[1] + 3 * options.identity
        sizes = *encoded, options.width, options.depth, options.skip
        self.network = RadianceNetwork(*sizes, generator)

    def look(
        self, rays: Rays, generator: torch.Generator | None
    ) -> tuple[Rendering, Rendering]:
        """Render rays with coarse and with fine bins; with a generator, samples are random."""
        stretch = RayInterval(*self.ball.intersect(rays, NEAREST))
        edges = even_edges(len(rays.origins), self.options.bins, generator)
        edges = edges.to(rays.origins.device)
        coarse, weights = self._bins(rays, stretch, edges)
        edges = finer_edges(edges, widened(weights, PADDING), self.options.bins, generator)
        return coarse, self._bins(rays, stretch, edges)[0]

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, None)[1]

    def _bins(
        self, rays: Rays, stretch: RayInterval, edges: Float[Tensor, "rays edges"]
    ) -> tuple[Rendering, Float[Tensor, "rays bins"]]:
        options, t = self.options, stretch.distance(edges)
        mean, variance = along_axes(frustum_gaussians(rays, t))
        variance = variance / self.ball.radius**2
        encode = with_identity if options.identity else positional_encoding
        density, color = self.network(
            integrated_encoding(self.ball.to_unit(mean), variance, options.frequencies),
            encode(rays.directions, options.direction_frequencies),
        )
        density = softplus(options.density_gain * density + options.density_shift)
        density = density / self.ball.radius
        out = composite_dense(density, padded_sigmoid(color), t)
        return Rendering(out.color, out.opacity, out.mean_distance), out.weights


@dataclass(frozen=True)
class MipNeRF(RayMethod[MipNeRFModel]):
    """Cones encoded as Gaussians, one network for coarse and fine bins (2021)."""

    width: int = 256
    """Units per hidden layer."""
    depth: int = 8
    """Hidden layers."""
    skip: int = 5
    """Layer that receives the encoded position again (skip connection)."""
    frequencies: int = 16
    """Octaves of the positional encoding of positions."""
    direction_frequencies: int = 4
    """Octaves of the positional encoding of directions."""
    identity: bool = True
    """Give the network directions themselves too, besides their encoding."""
    bins: int = 128
    """Bins per ray, both coarse and fine."""
    coarse_weight: float = 0.1
    """Weight of the loss of the coarse bins."""
    density_gain: float = 1.0
    """Factor on the network's output before the softplus that makes it a density, per radius of
    the bounding sphere: a larger factor makes matter opaque in fewer steps."""
    density_shift: float = -1.0
    """Shift of the network's output before the softplus: below −1 the scene starts almost
    empty, from which short fits converge much faster than from fog."""
    by_area: bool = False
    """Whether a pixel's loss is weighted by its area, in pixels of the largest images, so that
    images of all sizes count alike (sec. 4.1)."""
    learning_rate_decay: float = 0.01
    """Final learning rate, as a fraction of the initial one."""
    warm_up: int = 2500
    """Steps over which the learning rate rises."""

    def model(self, generator: torch.Generator) -> MipNeRFModel:
        return MipNeRFModel(self, generator)

    def losses(
        self,
        model: MipNeRFModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        weight = torch.ones_like(batch.rays.pixel_radius)
        if self.by_area:
            weight = (batch.rays.pixel_radius / batch.rays.pixel_radius.min()).square()
        coarse, fine = (
            (weight * pixel_errors(rendering, batch.rgba, data.background)).sum() / weight.sum()
            for rendering in model.look(batch.rays, generator)
        )
        return {
            "coarse": self.coarse_weight * coarse,
            "fine": fine,
            "metric/psnr": -10 * fine.detach().log10(),
        }

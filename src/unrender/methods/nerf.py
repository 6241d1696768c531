"""NeRF: a scene as one fully connected network from position and direction to radiance.

Mildenhall, Srinivasan, Tancik, Barron, Ramamoorthi, Ng, "NeRF: Representing Scenes as Neural
Radiance Fields for View Synthesis", ECCV 2020, https://arxiv.org/abs/2003.08934.

A ray is divided into bins with random edges, in each of which the coarse network is evaluated
once (stratified sampling, eq. 2). Its weights are a distribution from which further samples are
drawn for the fine network (hierarchical sampling, sec. 5.2). Colors are composited along the
ray by eq. 3.

The preset `nerf` has the sizes, rates and samples of the paper. As in the authors' code, the
encodings have no factor π and include their arguments, and 500 steps see the central half of
the images. Where it differs: a ray's interval is that of the bounding sphere, not a near and a
far plane; samples are the middles of jittered bins; and images with alpha are compared over all
backgrounds rather than over white (`training/pixels.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.fields.encodings import positional_encoding, with_identity
from unrender.fields.networks import RadianceNetwork
from unrender.geometry.cameras import Rays
from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

NEAREST = 0.05
"""Near plane of the rays, in radii of the bounding sphere."""


@dataclass(frozen=True)
class Bins:
    """Rays rendered by one network."""

    rendering: Rendering
    points: Float[Tensor, "rays bins 3"]
    """Middles of the bins, in the world frame."""
    weights: Float[Tensor, "rays bins"]


class NeRFModel(RayModel):
    """A coarse and a fine network."""

    def __init__(
        self, options: "NeRF", generator: torch.Generator, further: tuple[int, int] = (0, 0)
    ):
        """`further`: inputs of the networks besides encoded positions and directions."""
        super().__init__()
        self.options = options
        itself = 3 * options.identity
        position, direction = (count + itself for count in further)
        position += 6 * options.frequencies
        direction += 6 * options.direction_frequencies
        sizes = position, direction, options.width, options.depth, options.skip
        self.coarse = RadianceNetwork(*sizes, generator)
        self.fine = RadianceNetwork(*sizes, generator)

    def look(self, rays: Rays, generator: torch.Generator | None) -> tuple[Bins, Bins]:
        """Render rays with both networks; with a generator, samples are random."""
        options = self.options
        stretch = RayInterval(*self.ball.intersect(rays, NEAREST))
        edges = even_edges(len(rays.origins), options.coarse_bins, generator)
        edges = edges.to(rays.origins.device)
        coarse = self._bins(self.coarse, rays, stretch, edges, generator)
        finer = finer_edges(edges, coarse.weights + 1e-5, options.fine_bins, generator)
        # The fine network is evaluated at the union of both sets of samples (sec. 5.2).
        edges = torch.cat([edges, finer], dim=1).sort(dim=1).values
        return coarse, self._bins(self.fine, rays, stretch, edges, generator)

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, None)[1].rendering

    def inputs(
        self, rays: Rays, points: Float[Tensor, "rays bins 3"]
    ) -> tuple[Float[Tensor, "rays bins inputs"], Float[Tensor, "rays channels"]]:
        """What the networks are given: encoded world points, and encoded directions."""
        options = self.options
        encode = with_identity if options.identity else positional_encoding
        places = encode(self.ball.to_unit(points), options.frequencies)
        return places, encode(rays.directions, options.direction_frequencies)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density of the fine network per scene unit, at world points."""
        options = self.options
        encode = with_identity if options.identity else positional_encoding
        places = encode(self.ball.to_unit(points), options.frequencies)
        hidden = self.fine.trunk(torch.cat([places, self.further(points)], dim=1))
        return self.positive(self.fine.density(hidden)[:, 0]) / self.ball.radius

    def further(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points further"]:
        """Inputs of the density at world points, besides their places: none."""
        return points[:, :0]

    def positive(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Densities of a network's outputs."""
        return raw.relu() if self.options.density_activation == "relu" else softplus(raw)

    def _bins(
        self,
        network: RadianceNetwork,
        rays: Rays,
        stretch: RayInterval,
        edges: Float[Tensor, "rays edges"],
        generator: torch.Generator | None,
    ) -> Bins:
        options, t = self.options, stretch.distance(edges)
        middles = (t[:, 1:] + t[:, :-1]) / 2
        points = rays.origins[:, None] + middles[..., None] * rays.directions[:, None]
        density, color = network(*self.inputs(rays, points))
        if generator is not None and options.noise:
            noise = torch.randn(density.shape, generator=generator).to(density.device)
            density = density + options.noise * noise
        # Densities are per radius, so that the unit of the scene does not matter.
        density = self.positive(density) / self.ball.radius
        out = composite_dense(density, color.sigmoid(), t)
        rendering = Rendering(out.color, out.opacity, out.mean_distance)
        return Bins(rendering, points, out.weights)


@dataclass(frozen=True)
class NeRF(RayMethod[NeRFModel]):
    """One network from position and direction to radiance (2020)."""

    width: int = 256
    """Units per hidden layer."""
    depth: int = 8
    """Hidden layers."""
    skip: int = 5
    """Layer that receives the encoded position again (skip connection)."""
    frequencies: int = 10
    """Octaves of the positional encoding of positions."""
    direction_frequencies: int = 4
    """Octaves of the positional encoding of directions."""
    identity: bool = True
    """Give the network positions and directions themselves too, besides their encodings."""
    coarse_bins: int = 64
    """Even bins per ray for the coarse network."""
    fine_bins: int = 128
    """Additional bins per ray, sampled from the coarse network's weights."""
    density_activation: Literal["relu", "softplus"] = "relu"
    """What makes densities positive; a softplus has a gradient where the scene is empty."""
    noise: float = 0.0
    """Standard deviation of the noise added to densities before the ReLU in training (appendix
    A), per radius of the bounding sphere: it revives a network that has made the whole scene
    empty and would have no gradient."""

    crop_steps: int = 500
    """Steps in which only the central half of each image's height and width is sampled."""

    def model(self, generator: torch.Generator) -> NeRFModel:
        return NeRFModel(self, generator)

    def density_at(
        self, model: NeRFModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        return model.density(points)

    def losses(
        self,
        model: NeRFModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        crop = 0.5 if progress.step < self.crop_steps else 1.0
        batch = data.sample_pixels(self.rays, generator, crop)
        coarse, fine = (
            pixel_errors(bins.rendering, batch.rgba, data.background).mean()
            for bins in model.look(batch.rays, generator)
        )
        return {"coarse": coarse, "fine": fine, "metric/psnr": -10 * fine.detach().log10()}

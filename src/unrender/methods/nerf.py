"""NeRF: a scene as one fully connected network from place and direction to light.

Mildenhall, Srinivasan, Tancik, Barron, Ramamoorthi, Ng, "NeRF: Representing Scenes as Neural
Radiance Fields for View Synthesis", ECCV 2020, https://arxiv.org/abs/2003.08934.

A ray is cut into even bins, which a coarse network sees at one random place each (eq. 2); where
it finds matter, a fine network is asked again, in smaller bins (sec. 5.2). Colours are summed
along the ray by eq. 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.fields.encodings import positional_encoding
from unrender.fields.networks import RadianceNetwork
from unrender.geometry.cameras import Rays
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.compositing import bin_weights, render_bins
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

NEAREST = 0.05
"""Nothing nearer to a camera is looked at, in radii of the ball."""


class NeRFModel(RayModel):
    """A coarse and a fine network."""

    def __init__(self, options: "NeRF", generator: torch.Generator):
        super().__init__()
        self.options = options
        encoded = 6 * options.frequencies, 6 * options.direction_frequencies
        sizes = *encoded, options.width, options.depth, options.skip
        self.coarse = RadianceNetwork(*sizes, generator)
        self.fine = RadianceNetwork(*sizes, generator)

    def look(
        self, rays: Rays, generator: torch.Generator | None
    ) -> tuple[Rendering, Rendering]:
        """By the coarse network and by the fine one; with a generator, at random places."""
        options = self.options
        stretch = RayInterval(*self.ball.intersect(rays, NEAREST))
        edges = even_edges(len(rays.origins), options.coarse_bins, generator)
        edges = edges.to(rays.origins.device)
        coarse, weights = self._bins(self.coarse, rays, stretch, edges, generator)
        finer = finer_edges(edges, weights + 1e-5, options.fine_bins, generator)
        # The fine network sees all of the places (sec. 5.2).
        edges = torch.cat([edges, finer], dim=1).sort(dim=1).values
        return coarse, self._bins(self.fine, rays, stretch, edges, generator)[0]

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, None)[1]

    def _bins(
        self,
        network: RadianceNetwork,
        rays: Rays,
        stretch: RayInterval,
        edges: Float[Tensor, "rays edges"],
        generator: torch.Generator | None,
    ) -> tuple[Rendering, Float[Tensor, "rays bins"]]:
        options, t = self.options, stretch.distance(edges)
        middles = (t[:, 1:] + t[:, :-1]) / 2
        points = rays.origins[:, None] + middles[..., None] * rays.directions[:, None]
        density, color = network(
            positional_encoding(self.ball.to_unit(points), options.frequencies),
            positional_encoding(rays.directions, options.direction_frequencies),
        )
        if generator is not None and options.noise:
            noise = torch.randn(density.shape, generator=generator).to(density.device)
            density = density + options.noise * noise
        # Per radius, so that a scene's unit does not matter.
        density = density.relu() / self.ball.radius
        return render_bins(density, color.sigmoid(), t), bin_weights(density, t)


@dataclass(frozen=True)
class NeRF(RayMethod[NeRFModel]):
    """One network from place and direction to light (2020)."""

    width: int = 256
    """Units of a hidden layer."""
    depth: int = 8
    """Hidden layers."""
    skip: int = 5
    """The layer that sees the position again."""
    frequencies: int = 10
    """Octaves in which positions are encoded."""
    direction_frequencies: int = 4
    """Octaves in which directions are encoded."""
    coarse_bins: int = 64
    """Even bins of a ray, for the coarse network."""
    fine_bins: int = 128
    """Bins more where the coarse network finds matter."""
    noise: float = 0.0
    """Standard deviation of what is added to densities, per radius of the ball that the cameras
    look at, before training cuts off negative ones (appendix A): it wakes a network that has
    made all of the scene empty, which learns nothing more by itself."""

    def model(self, generator: torch.Generator) -> NeRFModel:
        return NeRFModel(self, generator)

    def losses(
        self,
        model: NeRFModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        coarse, fine = (
            pixel_errors(rendering, batch.rgba, data.background).mean()
            for rendering in model.look(batch.rays, generator)
        )
        return {"coarse": coarse, "fine": fine, "metric/psnr": -10 * fine.detach().log10()}

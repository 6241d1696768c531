"""Mip-NeRF 360: scenes without bounds, and a small network that says where to look.

Barron, Mildenhall, Verbin, Srinivasan, Hedman, "Mip-NeRF 360: Unbounded Anti-Aliased Neural
Radiance Fields", CVPR 2022, https://arxiv.org/abs/2111.12077.

Frustums' Gaussians are contracted into a ball of radius 2 (eq. 9 and 10) and encoded along the
directions of an icosahedron. A proposal network, which knows densities alone, finds the bins in
two rounds; it learns to bound the weights that the large network finds (eq. 13), and these are
drawn together by the distortion loss (eq. 15).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.fields.encodings import (
    along_directions,
    geodesic_directions,
    integrated_encoding,
    positional_encoding,
)
from unrender.fields.networks import LinearLayer, RadianceNetwork, Trunk, padded_sigmoid
from unrender.geometry.cameras import Rays
from unrender.geometry.contraction import contract_gaussians
from unrender.geometry.frustums import Gaussians, frustum_gaussians
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.compositing import bin_weights, distortion, render_bins
from unrender.rendering.volume.proposals import (
    RayInterval,
    annealed,
    even_edges,
    finer_edges,
    interlevel_loss,
    widened,
)
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

PADDING = 0.0025
"""Added to the weights that are resampled, so that no bin is forgotten."""
FAR = 1e4
"""Where a scene without bounds ends, in radii of the ball: contraction makes it nearly 2."""


@dataclass(frozen=True)
class Round:
    """Bins along the rays, and the share of the light that each is thought to send."""

    s: Float[Tensor, "rays edges"]
    weights: Float[Tensor, "rays bins"]


class Proposal(nn.Module):
    """The small network: densities alone."""

    def __init__(self, inputs: int, width: int, depth: int, generator: torch.Generator):
        super().__init__()
        self.trunk = Trunk(inputs, width, depth, 0, generator)
        self.density = LinearLayer(width, 1, generator)

    def forward(self, x: Float[Tensor, "rays bins inputs"]) -> Float[Tensor, "rays bins"]:
        return self.density(self.trunk(x))[..., 0]


class MipNeRF360Model(RayModel):
    """The proposal network and the large one."""

    directions: Tensor

    def __init__(self, options: "MipNeRF360", generator: torch.Generator):
        super().__init__()
        self.options = options
        self.register_buffer("directions", geodesic_directions(), persistent=False)
        encoded = 2 * len(self.directions) * options.frequencies
        self.proposal = Proposal(
            encoded, options.proposal_width, options.proposal_depth, generator
        )
        sizes = 6 * options.direction_frequencies, options.width, options.depth, options.skip
        self.network = RadianceNetwork(encoded, *sizes, generator)

    def stretch(self, rays: Rays) -> RayInterval:
        """What is looked at: the ball, or all in front of the camera."""
        if not self.options.unbounded:
            return RayInterval(*self.ball.intersect(rays, self.options.near))
        near = (self.options.near * self.ball.radius).expand(len(rays.origins))
        return RayInterval(near, near * (FAR / self.options.near), "disparity")

    def look(
        self, rays: Rays, fraction: float, generator: torch.Generator | None
    ) -> tuple[Rendering, list[Round]]:
        """The colours, and the rounds, of which the last is the large network's.

        `fraction`: the share of the training that is over. With a generator, at random places.
        """
        options, stretch = self.options, self.stretch(rays)
        s = even_edges(len(rays.origins), options.proposal_bins, generator)
        s = s.to(rays.origins.device)
        rounds: list[Round] = []
        for bins in [options.proposal_bins] * (options.proposals - 1) + [options.bins]:
            t = stretch.distance(s)
            density = self._density(self.proposal(self._encoded(rays, t)))
            rounds.append(Round(s, bin_weights(density, t)))
            known = annealed(widened(rounds[-1].weights.detach(), PADDING), fraction)
            s = finer_edges(s, known, bins, generator)
        t = stretch.distance(s)
        directions = positional_encoding(rays.directions, options.direction_frequencies)
        density, color = self.network(self._encoded(rays, t), directions)
        density = self._density(density)
        rounds.append(Round(s, bin_weights(density, t)))
        rendering = render_bins(density, padded_sigmoid(color), t)
        return replace(rendering, depth=stretch.mean_distance(s, rounds[-1].weights)), rounds

    def _density(self, raw: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
        gain, shift = self.options.density_gain, self.options.density_shift
        return softplus(gain * raw + shift) / self.ball.radius

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, 1.0, None)[0]

    def _encoded(
        self, rays: Rays, t: Float[Tensor, "rays edges"]
    ) -> Float[Tensor, "rays bins encoded"]:
        found = frustum_gaussians(rays, t)
        unit = Gaussians(self.ball.to_unit(found.mean), found.covariance / self.ball.radius**2)
        if self.options.unbounded:
            unit = contract_gaussians(unit)
        mean, variance = along_directions(unit, self.directions)
        return integrated_encoding(mean, variance, self.options.frequencies)


@dataclass(frozen=True)
class MipNeRF360(RayMethod[MipNeRF360Model]):
    """Contraction, a proposal network and distortion, for scenes without bounds (2022)."""

    width: int = 1024
    """Units of a hidden layer of the large network."""
    depth: int = 8
    """Its hidden layers."""
    skip: int = 5
    """Its layer that sees the position again."""
    proposal_width: int = 256
    """Units of a hidden layer of the proposal network."""
    proposal_depth: int = 4
    """Its hidden layers."""
    frequencies: int = 12
    """Octaves in which positions are encoded."""
    direction_frequencies: int = 4
    """Octaves in which directions are encoded."""
    proposals: int = 2
    """Rounds of the proposal network."""
    proposal_bins: int = 64
    """Bins of a ray in each of these."""
    bins: int = 32
    """Bins of a ray that the large network sees."""
    unbounded: bool = True
    """Whether the scene goes on beyond the ball that the cameras look at."""
    near: float = 0.05
    """Nothing nearer to a camera is looked at, in radii of the ball."""
    distortion: float = 0.01
    """Weight of how spread the light's origins are along each ray."""
    density_gain: float = 1.0
    """What the network's output is multiplied by before softplus makes it a density, per radius
    of the ball that the cameras look at: with more, fewer steps make something opaque."""
    density_shift: float = -1.0
    """What is added to it: below −1, the scene begins as good as empty, from which short fits
    learn much sooner than from a fog."""
    charbonnier: float = 1e-3
    """Errors beyond this count by their size, not by its square (supplement); 0 squares all,
    without which an object before white is soon lost: most of its pixels are white."""
    rate: float = 2e-3
    """Learning rate after the warm-up; it falls exponentially."""
    last_rate: float = 0.01
    """Learning rate at the end, as a share of that at the start."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    max_norm: float = 1e-3
    """Gradients longer than this are shortened to it, those of Muon apart."""

    def model(self, generator: torch.Generator) -> MipNeRF360Model:
        return MipNeRF360Model(self, generator)

    def losses(
        self,
        model: MipNeRF360Model,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        rendering, rounds = model.look(batch.rays, progress.fraction, generator)
        error = pixel_errors(rendering, batch.rgba, data.background)
        *proposals, last = rounds
        bounds = [interlevel_loss(last.s, last.weights, p.s, p.weights) for p in proposals]
        color = (error + self.charbonnier**2).sqrt() if self.charbonnier else error
        return {
            "color": color.mean(),
            "proposals": torch.stack(bounds).sum(),
            "distortion": self.distortion * distortion(last.s, last.weights).mean(),
            "metric/psnr": -10 * error.detach().mean().log10(),
        }

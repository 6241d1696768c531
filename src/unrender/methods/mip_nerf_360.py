"""Mip-NeRF 360: unbounded scenes, and a proposal network that guides sampling.

Barron, Mildenhall, Verbin, Srinivasan, Hedman, "Mip-NeRF 360: Unbounded Anti-Aliased Neural
Radiance Fields", CVPR 2022, https://arxiv.org/abs/2111.12077.

The Gaussians of frustums are contracted into a ball of radius 2 (eq. 9 and 10) and encoded
along the directions of an icosahedron. A proposal network, which predicts densities alone,
resamples the bins in two rounds; it is trained to bound the weights of the large network (eq.
13), which the distortion loss concentrates (eq. 15).

The preset `mip-nerf-360` has the sizes, rates, samples and losses of the paper and its code,
and `mip-nerf-360-object` what the code has for Blender's scenes. Where they differ: the warm-up
is linear rather than a sine, bins have jittered edges rather than jittered midpoints, scenes
are not rotated to the principal axes of their cameras, and images with alpha are compared over
all backgrounds rather than over white (`training/pixels.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
    with_identity,
)
from unrender.fields.networks import (
    LinearLayer,
    RadianceNetwork,
    Trunk,
    can_fuse,
    padded_sigmoid,
)
from unrender.geometry.cameras import Rays
from unrender.geometry.contraction import contract_gaussians
from unrender.geometry.frustums import Gaussians, frustum_gaussians
from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.proposals import (
    RayInterval,
    annealed,
    dilated,
    even_edges,
    finer_edges,
    interlevel_loss,
    widened,
)
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

PADDING = 0.0025
"""Padding of blurred weights for resampling, so that every bin keeps some probability."""
DILATION, DILATION_BIAS = 0.5, 0.0025
"""Dilation of a round's histogram: bias + factor / (bins of all rounds before, multiplied)."""
OPAQUE = 1e10
"""Density of the last bin of an unbounded scene."""


@dataclass(frozen=True)
class Round:
    """Bins along the rays, and their weights."""

    s: Float[Tensor, "rays edges"]
    weights: Float[Tensor, "rays bins"]


class Proposal(nn.Module):
    """The proposal network, which predicts densities alone."""

    def __init__(self, inputs: int, width: int, depth: int, generator: torch.Generator):
        super().__init__()
        self.trunk = Trunk(inputs, width, depth, 0, generator)
        self.density = LinearLayer(width, 1, generator)

    def forward(self, x: Float[Tensor, "rays bins inputs"]) -> Float[Tensor, "rays bins"]:
        if not can_fuse(x):
            return self.density(self.trunk(x))[..., 0]
        hidden = self.trunk.fused(x.flatten(0, 1))
        return self.density(hidden).view(x.shape[:2])


class MipNeRF360Model(RayModel):
    """The proposal network and the large one."""

    directions: Tensor

    def __init__(self, options: "MipNeRF360", generator: torch.Generator):
        super().__init__()
        self.options = options
        basis = torch.eye(3) if options.basis == "axes" else geodesic_directions()
        self.register_buffer("directions", basis, persistent=False)
        encoded = 2 * len(self.directions) * options.frequencies
        self.proposal = Proposal(
            encoded, options.proposal_width, options.proposal_depth, generator
        )
        direction = 6 * options.direction_frequencies + 3 * options.identity
        sizes = direction, options.width, options.depth, options.skip
        widths = options.bottleneck, options.color_width
        self.network = RadianceNetwork(encoded, *sizes, generator, *widths)

    def stretch(self, rays: Rays) -> RayInterval:
        """Ray interval inside the bounding sphere, or all in front of the camera."""
        if not self.options.unbounded:
            return RayInterval(*self.ball.intersect(rays, self.options.near))
        near = (self.options.near * self.ball.radius).expand(len(rays.origins))
        return RayInterval(near, near * (self.options.far / self.options.near), "disparity")

    def look(
        self, rays: Rays, fraction: float, generator: torch.Generator | None
    ) -> tuple[Rendering, list[Round], Float[Tensor, "rays"]]:
        """Render rays; with all rounds of bins, the last by the large network, and distortions.

        `fraction`: the fraction of training that is over. With a generator, samples are random.
        """
        options, stretch = self.options, self.stretch(rays)
        single = options.single_jitter
        s = even_edges(len(rays.origins), options.proposal_bins, generator, single)
        s = s.to(rays.origins.device)
        rounds: list[Round] = []
        product = 1
        for bins in [options.proposal_bins] * (options.proposals - 1) + [options.bins]:
            t = stretch.distance(s)
            density = self._density(self.proposal(self._encoded(rays, t)))
            rounds.append(Round(s, composite_dense(density, None, t).weights))
            known = rounds[-1].weights.detach()
            if options.dilation:
                product *= options.proposal_bins
                s, known = dilated(s, known, DILATION_BIAS + DILATION / product)
                known = annealed(known, fraction) * (s.diff(dim=1) > 0)
            else:
                known = annealed(widened(known, PADDING), fraction)
            s = finer_edges(s, known, bins, generator, single)
        t = stretch.distance(s)
        encode = with_identity if options.identity else positional_encoding
        directions = encode(rays.directions, options.direction_frequencies)
        density, color = self.network(self._encoded(rays, t), directions)
        density = self._density(density)
        # In normalized distances, for the distortion and a mean that the far end does not rule.
        scale = t.diff(dim=1) / s.diff(dim=1).clamp_min(1e-12)
        out = composite_dense(density * scale, padded_sigmoid(color), s)
        rounds.append(Round(s, out.weights))
        depth = stretch.distance(out.mean_distance[:, None])[:, 0]
        return Rendering(out.color, out.opacity, depth), rounds, out.distortion

    def _density(self, raw: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
        gain, shift = self.options.density_gain, self.options.density_shift
        density = softplus(gain * raw + shift) / self.ball.radius
        if self.options.opaque_background and self.options.unbounded:
            last = torch.full_like(density[:, -1:], OPAQUE)
            density = torch.cat([density[:, :-1], last], dim=1)
        return density

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
    """Contraction, a proposal network and a distortion loss, for unbounded scenes (2022)."""

    width: int = 1024
    """Units per hidden layer of the large network."""
    depth: int = 8
    """Hidden layers of that network."""
    skip: int = 5
    """Layer of the large network that receives the encoded position again."""
    proposal_width: int = 256
    """Units per hidden layer of the proposal network."""
    proposal_depth: int = 4
    """Hidden layers of that network."""
    bottleneck: int = 256
    """Features that the large network passes to its color layer."""
    color_width: int = 128
    """Units of the color layer."""
    basis: Literal["icosahedron", "axes"] = "icosahedron"
    """Directions along which positions are encoded: 21 of an icosahedron, or the three axes, as
    the authors have it for Blender's scenes."""
    frequencies: int = 12
    """Octaves of the positional encoding of positions."""
    direction_frequencies: int = 4
    """Octaves of the positional encoding of directions."""
    identity: bool = True
    """Give the network directions themselves too, besides their encoding."""
    proposals: int = 2
    """Rounds of the proposal network."""
    proposal_bins: int = 64
    """Bins per ray in each of these rounds."""
    bins: int = 32
    """Bins per ray for the large network."""
    unbounded: bool = True
    """Whether the scene extends beyond the bounding sphere that the cameras look at."""
    camera_frame: bool = True
    """Whether the unit of an unbounded scene is the extent of the camera positions about their
    mean, as in the authors' code, rather than the bounding sphere."""
    near: float = 0.2
    """Near plane of the rays, in that unit."""
    far: float = 1e6
    """Far plane of unbounded scenes; contracted it is nearly at 2."""
    dilation: bool = True
    """Widen histograms by dilation before resampling; otherwise they are blurred, as in
    mip-NeRF."""
    single_jitter: bool = True
    """Jitter all edges of a ray together."""
    opaque_background: bool = True
    """Make the last bin of an unbounded scene opaque."""
    interlevel: float = 1.0
    """Weight of the proposals' loss, a mean over bins."""
    distortion: float = 0.01
    """Weight of the distortion loss along each ray."""
    density_gain: float = 1.0
    """Factor on the network's output before the softplus that makes it a density, per radius of
    the bounding sphere: a larger factor makes matter opaque in fewer steps."""
    density_shift: float = -1.0
    """Shift of the network's output before the softplus: below −1 the scene starts almost
    empty, from which short fits converge much faster than from fog."""
    charbonnier: float = 1e-3
    """Scale of the Charbonnier loss, beyond which errors count linearly (supplement); 0 uses
    the squared error, which objects on a white background need: most of their pixels are
    white."""
    learning_rate: float = 2e-3
    """Learning rate after the warm-up; it decays exponentially."""
    learning_rate_decay: float = 0.01
    """Final learning rate, as a fraction of the initial one."""
    warm_up: int = 512
    """Steps over which the learning rate rises."""
    max_norm: float = 1e-3
    """Maximum gradient norm, except for Muon's matrices."""

    def model(self, generator: torch.Generator) -> MipNeRF360Model:
        return MipNeRF360Model(self, generator)

    def build(self, data: Views, generator: torch.Generator) -> MipNeRF360Model:
        model = super().build(data, generator)
        if self.unbounded and self.camera_frame and data.ball is None:
            centers = data.cameras.centers
            model.ball.center.copy_(centers.mean(0))
            model.ball.radius.copy_(_extent(centers).clamp_min(1e-6))
        return model

    def losses(
        self,
        model: MipNeRF360Model,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        rendering, rounds, distortion = model.look(batch.rays, progress.fraction, generator)
        error = pixel_errors(rendering, batch.rgba, data.background)
        *proposals, last = rounds
        bounds = [interlevel_loss(last.s, last.weights, p.s, p.weights) for p in proposals]
        color = (error + self.charbonnier**2).sqrt() if self.charbonnier else error
        return {
            "color": color.mean(),
            "proposals": self.interlevel * torch.stack(bounds).sum(),
            "distortion": self.distortion * distortion.mean(),
            "metric/psnr": -10 * error.detach().mean().log10(),
        }


def _extent(centers: Float[Tensor, "cameras 3"]) -> Float[Tensor, ""]:
    """The largest coordinate of the centers about their mean, along their principal axes."""
    around = (centers - centers.mean(0)).double()
    _, _, axes = torch.linalg.svd(around, full_matrices=False)
    return (around @ axes.T).abs().amax().to(centers.dtype)

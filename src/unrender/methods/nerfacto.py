"""nerfacto: components of several papers that work well on real captures.

Tancik, Weber, Ng et al., "Nerfstudio: A Modular Framework for Neural Radiance Field
Development", SIGGRAPH 2023, https://arxiv.org/abs/2302.04264, sec. 4.

Hash grids for the scene and for the proposals (instant-ngp); proposal sampling, distortion loss
and scene contraction (Mip-NeRF 360), here in the L∞ norm; an appearance code per image (NeRF in
the Wild); camera pose corrections (NeRF−−); and an orientation loss on normals (Ref-NeRF).

The preset `nerfacto` has the sizes, samples, losses and rates of nerfstudio 1.1. Where it
differs: lengths are in radii of the bounding sphere, networks have no biases, corrections of
poses are twists, rates rise over 50 steps, and no last sample fills the background.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.hash_field import HashField
from unrender.fields.mlps import network_weights
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.contraction import contract_box
from unrender.geometry.poses import se3_exp
from unrender.kernels.composite import composite_dense
from unrender.kernels.hash_grid import HashGridLayout
from unrender.kernels.mlp import mlp
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.proposals import (
    RayInterval,
    annealed,
    even_edges,
    finer_edges,
    interlevel_loss,
)
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.pixels import pixel_errors

PADDING = 0.01
"""Padding of the weights for resampling, so that every bin keeps some probability."""
FAR = 1e3
"""Far plane of unbounded scenes, in radii of the bounding sphere."""
FEATURES = 16
"""Outputs of the density network; the first is the logarithm of density."""
MAX_LOG_DENSITY = 12.0
LAST = 0.3
"""Factor on the last layers' initial weights, for which outputs begin near their means."""
RAYS_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class RenderOutput:
    """Rendered rays, and what the losses need of them."""

    rendering: Rendering
    rounds: list[tuple[Tensor, Tensor]]
    """Edges and weights of the bins of the proposals, and last of the scene."""
    distortion: Float[Tensor, "rays"]
    """Distortion loss of each ray, in normalized distances."""
    orientation: Float[Tensor, ""]
    """Orientation loss: visible normals that face away from the camera."""
    normals: Float[Tensor, ""]
    """Difference between predicted normals and density gradients."""


class NerfactoModel(nn.Module):
    """The scene, its proposals, appearance codes and pose corrections."""

    def __init__(self, options: "Nerfacto", num_views: int, generator: torch.Generator):
        super().__init__()
        self.options = options
        self.ball = Ball()
        layout = HashGridLayout(
            options.levels, options.log2_table_size, options.coarsest, options.finest
        )
        self.field = HashField(layout, [options.width], FEATURES, generator, last=LAST)
        size, finest = options.log2_table_size - 2, options.proposal_finest
        layouts = [
            HashGridLayout(5, size, options.coarsest, cells) for cells in (finest, 2 * finest)
        ]
        proposals = [HashField(each, [16], 1, generator, last=LAST) for each in layouts]
        self.proposals = nn.ModuleList(proposals)
        inputs = FEATURES + 16 + options.appearance
        self.color = network_weights([inputs, *[options.width] * 2, 3], generator, last=LAST)
        self.normal = network_weights([FEATURES, options.width, 3], generator, last=LAST)
        self.codes = nn.Parameter(torch.zeros(num_views, options.appearance))
        self.corrections = nn.Parameter(torch.zeros(num_views, 6))

    def corrected(self, rays: Rays) -> Rays:
        """Rays of the corrected cameras."""
        pose = se3_exp(self.corrections[rays.camera_index])
        center, turn = self.ball.center, pose[:, :, :3]
        # About the center of the bounding sphere, in its radii, so that all numbers are small.
        origins = (turn @ (rays.origins - center)[..., None])[..., 0]
        origins = origins + center + self.ball.radius * pose[:, :, 3]
        directions = (turn @ rays.directions[..., None])[..., 0]
        return Rays(origins, directions, rays.pixel_radius, rays.camera_index, rays.times)

    def look(
        self,
        rays: Rays,
        codes: Float[Tensor, "rays appearance"],
        fraction: float,
        generator: torch.Generator | None,
    ) -> RenderOutput:
        """Render rays; `fraction`: the fraction of training that is over."""
        options = self.options
        stretch = self._stretch(rays)
        single = options.single_jitter
        s = even_edges(len(codes), options.proposal_bins, generator, single).to(codes.device)
        rounds: list[tuple[Tensor, Tensor]] = []
        for proposal, bins in zip(
            self.proposals, (options.second_bins, options.bins), strict=True
        ):
            t = stretch.distance(s)
            density = self._density(proposal(self._places(rays, t))).view(t.shape[0], -1)
            rounds.append((s, composite_dense(density / self.ball.radius, None, t).weights))
            known = annealed(rounds[-1][1].detach() + PADDING / s.shape[1], fraction)
            s = finer_edges(s, known, bins, generator, single)
        t = stretch.distance(s)
        places = self._places(rays, t)
        asked = options.orientation > 0 and generator is not None
        if asked:
            places = places.detach().requires_grad_()
        features = self.field(places)
        flat = self._density(features)
        density = flat.view(t.shape[0], -1) / self.ball.radius
        # What all samples of a ray share.
        head = torch.cat([spherical_harmonics(rays.directions), codes], dim=1)
        offsets = torch.arange(len(t) + 1, device=t.device) * options.bins
        color = mlp(features, list(self.color), "sigmoid", ray_inputs=(head, offsets))
        # In normalized distances, for the distortion and a mean that the far end does not rule.
        scale = t.diff(dim=1) / s.diff(dim=1).clamp_min(1e-12)
        out = composite_dense(density * scale, color.view(*density.shape, 3), s)
        rounds.append((s, out.weights))
        orientation = normals = t.new_zeros(())
        if asked:
            (slope,) = torch.autograd.grad(flat.sum(), places, retain_graph=True)
            said = normalize(mlp(features, list(self.normal)), dim=1)
            seen = out.weights.detach().flatten()
            normals = (seen * (said + normalize(slope, dim=1)).square().sum(1)).sum() / len(t)
            facing = (said.view(*density.shape, 3) * rays.directions[:, None]).sum(2)
            orientation = (out.weights * facing.clamp_min(0).square()).sum() / len(t)
        depth = stretch.distance(out.mean_distance[:, None])[:, 0]
        rendering = Rendering(out.color, out.opacity, depth)
        return RenderOutput(rendering, rounds, out.distortion, orientation, normals)

    def _density(self, features: Float[Tensor, "points outputs"]) -> Float[Tensor, "points"]:
        """Density per radius of the bounding sphere, at points of its frame."""
        shifted = features[:, 0] + self.options.density_shift
        return shifted.clamp_max(MAX_LOG_DENSITY).exp()

    def _stretch(self, rays: Rays) -> RayInterval:
        near, radius = self.options.near, self.ball.radius
        if not self.options.unbounded:
            return RayInterval(*self.ball.intersect(rays, near))
        first = near * radius.expand(len(rays.origins))
        return RayInterval(first, first * (FAR / near), self.options.spacing, radius)

    def _places(self, rays: Rays, t: Float[Tensor, "rays edges"]) -> Float[Tensor, "samples 3"]:
        """Midpoints of the bins in contracted space, mapped to the unit cube."""
        middles = (t[:, 1:] + t[:, :-1]) / 2
        points = rays.origins[:, None] + middles[..., None] * rays.directions[:, None]
        unit = self.ball.to_unit(points).view(-1, 3)
        # A bounded scene lies in the bounding sphere, which fills the whole cube.
        cube = contract_box(unit) if self.options.unbounded else 2 * unit
        return (cube + 2) / 4


@dataclass(frozen=True)
class Nerfacto(Method[NerfactoModel, Views]):
    """Hash grids, proposals, contraction, appearance codes and pose corrections (2023)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    levels: int = 16
    """Levels of the scene's hash grid."""
    log2_table_size: int = 19
    """Base-2 logarithm of the maximum number of entries per level."""
    coarsest: int = 16
    """Cells per side of the coarsest level."""
    finest: int = 2048
    """Cells per side of the finest level."""
    proposal_finest: int = 128
    """Cells per side of the first proposal's finest level; the second has twice as many."""
    width: int = 64
    """Units of the networks' hidden layers."""
    proposal_bins: int = 256
    """Bins per ray for the first proposal."""
    second_bins: int = 96
    """And for the second."""
    bins: int = 48
    """Bins per ray for the scene."""
    unbounded: bool = True
    """Whether the scene extends beyond the bounding sphere that the cameras look at."""
    near: float = 0.05
    """Near plane of the rays, in radii of the bounding sphere."""
    spacing: Literal["piecewise", "disparity"] = "piecewise"
    """Spacing of an unbounded scene's bins; piecewise is even up to one radius."""
    density_shift: float = math.log(0.01)
    """Log density of a network output of 0, per radius of the bounding sphere."""
    single_jitter: bool = True
    """Jitter all edges of a ray together."""
    anneal_until: float = 1 / 30
    """Fraction of training over which the proposals' weights are annealed."""
    interlevel: float = 1.0
    """Weight of the proposals' loss, a mean over bins."""
    appearance: int = 32
    """Size of the appearance code of an image; renders use the mean code."""
    pose_learning_rate: float = 1e-3
    """Learning rate of pose corrections, in radians and radii; 0 disables them."""
    translation_penalty: float = 1e-2
    """Weight of the mean length of the corrections' translations."""
    rotation_penalty: float = 1e-3
    """Weight of the mean angle of the corrections' rotations."""
    rays: int = 4096
    """Rays per training step."""
    learning_rate: float = 1e-2
    """Initial learning rate of the networks and codes."""
    table_learning_rate: float = 5e-2
    """Initial learning rate of the hash grids."""
    beta2: float = 0.999
    """Adam's decay rate of the second moment."""
    learning_rate_decay: float = 0.01
    """Final learning rates, as a fraction of the initial ones; the decay is exponential."""
    distortion: float = 2e-3
    """Weight of the distortion loss along each ray."""
    orientation: float = 0.0
    """Weight of the orientation loss; predicted normals weigh ten times that; 0 saves time."""

    def build(self, data: Views, generator: torch.Generator) -> NerfactoModel:
        model = NerfactoModel(self, len(data), generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> NerfactoModel:
        model = NerfactoModel(self, len(tensors["codes"]), torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: NerfactoModel) -> torch.optim.Optimizer:
        fields = [each for each in model.modules() if isinstance(each, HashField)]
        networks = [weight for field in fields for weight in field.network]
        networks += [*model.color, *model.normal, model.codes]
        groups = [
            {"params": [field.table for field in fields], "lr": self.table_learning_rate},
            {"params": networks, "lr": self.learning_rate},
            {"params": [model.corrections], "lr": self.pose_learning_rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, self.beta2), eps=1e-15, fused=True)

    def schedule(self, progress: Progress) -> float:
        return min(1.0, (progress.step + 1) / 50) * self.learning_rate_decay**progress.fraction

    def losses(
        self,
        model: NerfactoModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        rays = model.corrected(batch.rays) if self.pose_learning_rate else batch.rays
        codes = model.codes[rays.camera_index]
        annealed = min(1.0, (1 / self.anneal_until) * progress.fraction)
        found = model.look(rays, codes, annealed, generator)
        error = pixel_errors(found.rendering, batch.rgba, data.background).mean()
        *proposals, (s, weights) = found.rounds
        bounds = [interlevel_loss(s, weights, edges, mass) for edges, mass in proposals]
        lengths = (model.corrections.view(-1, 2, 3).square().sum(2) + 1e-16).sqrt()
        turn, shift = lengths.mean(0)
        return {
            "color": error,
            "proposals": self.interlevel * torch.stack(bounds).sum(),
            "poses": self.translation_penalty * shift + self.rotation_penalty * turn,
            "distortion": self.distortion * found.distortion.mean(),
            "orientation": self.orientation * (found.orientation + 10 * found.normals),
            "metric/psnr": -10 * error.detach().log10(),
        }

    def smaller(self) -> "Method[NerfactoModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: NerfactoModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            codes = model.codes.mean(0).expand(len(rays.origins), -1)
            return model.look(rays, codes, 1.0, None).rendering

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)

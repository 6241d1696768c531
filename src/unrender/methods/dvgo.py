"""DVGO: voxels whose densities are interpolated before they become opacity.

Sun, Sun, Chen, "Direct Voxel Grid Optimization: Super-fast Convergence for Radiance Fields
Reconstruction", CVPR 2022, https://arxiv.org/abs/2111.11215.

Densities are interpolated before activation (sec. 4). A coarse grid locates the scene (sec.
5.1); a fine one stores densities and features, decoded to colors by a network (sec. 5.2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.encodings import positional_encoding
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.fields.sparse_voxels import (
    index_occupied,
    pruned_index,
    resample_rows,
    vertex_positions,
)
from unrender.geometry.bounds import view_counts
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.march import march
from unrender.kernels.mlp import mlp
from unrender.kernels.sparse_grid import sparse_sample
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.compositing import packed_weights
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.parameters import replace_parameter
from unrender.training.pixels import pixel_errors

DARK = 8.0
"""Optical depth at which a ray ends."""
NOTHING = -15.0
"""Raw density (before activation) where the grid has no vertex."""
OCCUPANCY_CELLS = 96
RAYS_AT_ONCE = 1 << 12
COARSE_ALPHA, FINE_ALPHA = 1e-6, 1e-2
"""Opacity of a voxel of zeros (sec. 5.1 and 5.2)."""


class DVGOModel(nn.Module):
    """A cube around the bounding sphere that the cameras look at; lengths are in its radii."""

    index: Tensor
    scale: Tensor
    coarse: Tensor

    def __init__(
        self, options: "DVGO", index: Int32[Tensor, "x y z"], channels: int,
        generator: torch.Generator,
    ):  # fmt: skip
        super().__init__()
        self.options = options
        rows = int(index.max()) + 1
        self.ball = Ball()
        self.register_buffer("index", index)
        self.density = nn.Parameter(torch.zeros(rows, 1))
        self.features = nn.Parameter(torch.zeros(rows, channels))
        # Fraction of views in which a vertex is visible: scales its learning rate.
        self.register_buffer("scale", torch.ones(rows, 1))
        self.register_buffer("coarse", torch.tensor(True))
        sizes = [
            options.features
            + 3
            + 3
            + 6 * (options.frequencies + options.direction_frequencies),
            *[options.width] * options.layers,
            3,
        ]
        self.network = nn.ParameterList(
            nn.Parameter(torch.randn(b, a, generator=generator) * (2 / a) ** 0.5)
            for a, b in pairwise(sizes)
        )
        with torch.no_grad():
            self.network[-1] *= 0.1
        self.occupancy = OccupancyGrid(1.0, OCCUPANCY_CELLS)

    @property
    def voxel(self) -> float:
        """Side of a voxel."""
        return 2 / (len(self.index) - 1)

    def activated(self, raw: Float[Tensor, "points 1"]) -> Float[Tensor, "points"]:
        """Density per radius: zeros make a voxel of the stage's opacity (eq. 5 and 9)."""
        alpha = COARSE_ALPHA if self.coarse else FINE_ALPHA
        # softplus(shift) = −log(1 − alpha)
        shift = math.log(math.expm1(-math.log1p(-alpha)))
        return softplus(raw[:, 0] + NOTHING + shift) / self.voxel

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density per radius of the bounding sphere, at points of its frame."""
        return self.activated(sparse_sample(self.rows, self.index, (points + 1) / 2))

    @property
    def rows(self) -> Float[Tensor, "rows 1"]:
        """What is interpolated: raw densities relative to that of empty space."""
        rows = self.density * self.scale - NOTHING
        return torch.cat([torch.zeros_like(rows[:1]), rows[1:]])

    def render_rays(
        self, rays: Rays, jitter: Float[Tensor, "rays"], truth: Float[Tensor, "rays 3"] | None
    ) -> tuple[Rendering, Float[Tensor, ""]]:
        """Render rays; also the error of the colors of single samples (per-point rgb loss)."""
        options = self.options
        origins, directions = self.ball.to_unit(rays.origins), rays.directions
        grid = self.occupancy.march_grid(options.step_size * self.voxel)
        bins = march(origins.detach(), directions.detach(), jitter, grid, DARK)
        middles = (bins.starts + bins.ends) / 2
        unit = along_rays((origins + 1) / 2, directions / 2, middles, bins.offsets)
        density = self.activated(sparse_sample(self.rows, self.index, unit))
        features = sparse_sample(self.features, self.index, unit)
        if self.coarse:
            color = features.sigmoid()
        else:
            places = positional_encoding(2 * unit - 1, options.frequencies)
            view = positional_encoding(directions, options.direction_frequencies)
            head = torch.cat([directions, view], dim=1), bins.offsets
            inputs = torch.cat([features, unit, places], dim=1)
            color = mlp(inputs, list(self.network), "sigmoid", ray_inputs=head)
        out = composite(density, color, bins.starts, bins.ends, bins.offsets)
        depth = self.ball.radius * out.distance / out.opacity.clamp_min(1e-6)
        off = out.opacity.new_zeros(())
        if truth is not None:
            lengths = bins.ends - bins.starts
            weights = packed_weights(density.detach(), lengths, bins.offsets)
            errors = (color - expand(truth, bins.offsets)).square().mean(1)
            off = (weights * errors).sum() / len(truth)
        return Rendering(out.color, out.opacity, depth), off


@dataclass(frozen=True)
class DVGO(Method[DVGOModel, Views]):
    """Post-activated voxels: a coarse grid, then a fine one with a small network (2022)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    coarse_vertices: int = 100
    """Vertices along each axis of the coarse grid."""
    finest: int = 160
    """Final number of vertices along each axis of the fine grid."""
    refinements: int = 2
    """Times that the fine grid is refined, each time to twice as many vertices."""
    coarse_share: float = 0.1
    """Fraction of training for the coarse grid."""
    refine_until: float = 0.4
    """Fraction of training after which the grid has its final resolution."""
    features: int = 12
    """Features per vertex of the fine grid, besides its density."""
    width: int = 128
    """Units of the network's hidden layers."""
    layers: int = 2
    """Hidden layers of the network."""
    frequencies: int = 5
    """Octaves of the positional encoding of positions."""
    direction_frequencies: int = 4
    """Octaves of the positional encoding of directions."""
    prune_threshold: float = 1e-3
    """Opacity of a voxel below which a vertex is pruned, unless a neighbor is above it."""
    step_size: float = 0.5
    """Length of the bins along a ray, in voxels."""
    rays: int = 8192
    """Rays per training step."""
    grid_learning_rate: float = 0.1
    """Learning rate of densities and features."""
    network_learning_rate: float = 1e-3
    """Learning rate of the network."""
    learning_rate_decay: float = 0.1
    """Final learning rates, as a fraction of the initial ones; the decay is exponential."""
    sample_weight: float = 0.1
    """Weight of the per-point color loss; a tenth of it in the fine stage."""
    entropy_weight: float = 1e-3
    """Weight of the entropy of opacities, which pushes them to 0 or 1."""

    def build(self, data: Views, generator: torch.Generator) -> DVGOModel:
        shape = (self.coarse_vertices,) * 3
        index = index_occupied(torch.ones(shape, dtype=torch.bool))
        model = DVGOModel(self, index, 3, generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        places = model.ball.center + model.ball.radius * (2 * vertex_positions(index) - 1)
        seen = view_counts(places, data.cameras)
        model.scale[1:, 0] = seen / seen.max()
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> DVGOModel:
        channels = tensors["features"].shape[1]
        model = DVGOModel(self, tensors["index"], channels, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: DVGOModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.density, model.features], "lr": self.grid_learning_rate},
            {"params": list(model.network), "lr": self.network_learning_rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def schedule(self, progress: Progress) -> float:
        return self.learning_rate_decay**progress.fraction

    def losses(
        self,
        model: DVGOModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        jitter = torch.rand(self.rays, generator=generator).to(batch.rgba.device)
        # For images with alpha, the object's own colors without any background.
        opacity = batch.rgba[:, 3:].clamp_min(1e-3)
        truth = (batch.rgba[:, :3] / opacity).clamp_max(1)
        rendering, off = model.render_rays(batch.rays, jitter, truth)
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        share = rendering.opacity.clamp(1e-6, 1 - 1e-6)
        entropy = -(share * share.log() + (1 - share) * (1 - share).log()).mean()
        weight = self.sample_weight * (1.0 if model.coarse else 0.1)
        return {
            "color": error,
            "samples": weight * off,
            "entropy": self.entropy_weight * entropy,
            "metric/psnr": -10 * error.detach().log10(),
        }

    def after_step(
        self, model: DVGOModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        size, looks = self._vertices(progress.fraction), progress.step % 16 == 15
        finer = size != len(model.index) and (looks or not model.coarse)
        if finer:
            finer = self._refine(model, optimizer, size)
        # The coarse grid starts almost empty, and must not be mistaken for empty space.
        if finer or (looks and not model.coarse):
            generator = torch.Generator().manual_seed(progress.step)
            step = self.step_size * model.voxel
            model.occupancy.update(model.density_at, step, generator, everywhere=finer)

    def _vertices(self, fraction: float) -> int:
        """Vertices along each axis, at this fraction of training."""
        if fraction < self.coarse_share:
            return self.coarse_vertices
        done = (fraction - self.coarse_share) / (self.refine_until - self.coarse_share)
        stage = min(self.refinements, int(self.refinements * done))
        return round(self.finest * 2 ** ((stage - self.refinements) / 3))

    @torch.no_grad()
    def _refine(self, model: DVGOModel, optimizer: torch.optim.Optimizer, size: int) -> bool:
        """Resample the occupied region to `size` vertices along each axis, once it is known."""
        full = index_occupied(torch.ones(size, size, size, dtype=torch.bool))
        points = 2 * vertex_positions(full.to(model.index.device)) - 1
        depth = (model.density_at(points) * 2 / (size - 1)).view(size, size, size)
        index = pruned_index(model.index, depth, self.prune_threshold, COARSE_ALPHA)
        if index is None:
            # The scene has not emerged yet: the grid stays as it is until it has.
            return False
        density = resample_rows(model.rows, model.index, index) + NOTHING
        if model.coarse:
            # The same densities under the fine stage's activation and voxel size.
            wanted = model.activated(density - NOTHING) * 2 / (size - 1)
            shift = math.log(math.expm1(-math.log1p(-FINE_ALPHA)))
            density = (wanted.clamp(1e-6, 20).expm1().log() - shift)[:, None]
            features = density.new_zeros(len(density), self.features)
        else:
            features = resample_rows(model.features, model.index, index)
        model.density = replace_parameter(optimizer, model.density, density)
        model.features = replace_parameter(optimizer, model.features, features)
        model.index, model.scale = index, torch.ones_like(density)
        model.coarse.fill_(False)
        return True

    def finish(self, model: DVGOModel, data: Views) -> None:
        """Update the whole occupancy grid, so that rendering skips all empty space."""
        generator = torch.Generator().manual_seed(0)
        model.occupancy.update(model.density_at, self.step_size * model.voxel, generator, True)

    def smaller(self) -> "Method[DVGOModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: DVGOModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            jitter = torch.full_like(rays.pixel_radius, 0.5)
            return model.render_rays(rays, jitter, None)[0]

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)

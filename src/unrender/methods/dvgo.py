"""DVGO: voxels whose densities are interpolated before they become opacity.

Sun, Sun, Chen, "Direct Voxel Grid Optimization: Super-fast Convergence for Radiance Fields
Reconstruction", CVPR 2022, https://arxiv.org/abs/2111.11215.

Densities are interpolated before activation (sec. 4). A coarse grid locates the scene (sec.
5.1); a fine one, in the box around it, stores densities and features, decoded to colors by a
network (sec. 5.2). The preset `dvgo` is that of the paper and its authors' code, with schedules
as fractions of 5,000 + 20,000 steps. What differs: voxels near the cameras are not masked, as
there is no near plane; rays are drawn from all pixels; and the network has no biases.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.fields import sparse_voxels
from unrender.fields.ball import Box
from unrender.fields.encodings import positional_encoding
from unrender.fields.mlps import network_weights
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.fields.pruning import keeps_most
from unrender.geometry.bounds import view_counts
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.march import march
from unrender.kernels.mlp import mlp
from unrender.kernels.sparse_grid import sparse_sample
from unrender.optimizers.adam import grid_adam
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.skipping import drop_light_bins
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.parameters import replace_parameter
from unrender.training.pixels import entropy, own_colors, pixel_errors

DARK = 9.2
"""Optical depth, as estimated by the occupancy grid, at which a ray ends: e^−9.2 is 1e-4."""
NOTHING = -15.0
"""Raw density (before activation) where the grid has no vertex."""
OCCUPANCY_CELLS, RAYS_AT_ONCE = 96, 1 << 12
COARSE_ALPHA, FINE_ALPHA = 1e-6, 1e-2
"""Opacity of a voxel of zeros (sec. 5.1 and 5.2)."""
COARSE_SKIP_WEIGHT = 1e-7
"""Rendering weight below which samples of the coarse grid are skipped."""
BOX_MARGIN = 1.05
"""Size of the fine grid's box, relative to that of the coarse geometry."""


class DVGOModel(nn.Module):
    """Voxels in a box: a cube around what the cameras look at, then the scene's part of it."""

    index: Tensor
    scale: Tensor
    stage: Tensor

    def __init__(
        self, options: "DVGO", index: Int32[Tensor, "x y z"], channels: int,
        generator: torch.Generator,
    ):  # fmt: skip
        super().__init__()
        self.options = options
        rows = int(index.max()) + 1
        self.ball = Box()
        self.register_buffer("index", index)
        self.raw_density = nn.Parameter(torch.zeros(rows, 1))
        self.features = nn.Parameter(torch.zeros(rows, channels))
        # Fraction of views in which a vertex is visible: scales its learning rate.
        self.register_buffer("scale", torch.ones(rows, 1))
        # 0 for the coarse grid, 1 for the first fine one, and so on.
        self.register_buffer("stage", torch.tensor(0))
        octaves = options.frequencies + options.direction_frequencies
        inputs, hidden = options.features + 6 + 6 * octaves, [options.width] * options.layers
        self.network = network_weights([inputs, *hidden, 3], generator)
        with torch.no_grad():
            self.network[-1] *= 0.1
        self.occupancy = OccupancyGrid(1.0, OCCUPANCY_CELLS)

    @property
    def voxel(self) -> float:
        """Side of a voxel."""
        return 2 / (max(self.index.shape) - 1)

    def activated(self, raw: Float[Tensor, "points 1"]) -> Float[Tensor, "points"]:
        """Density per radius: zeros make a voxel of the stage's opacity (eq. 5 and 9)."""
        alpha = FINE_ALPHA if self.stage else COARSE_ALPHA
        # softplus(shift) = −log(1 − alpha)
        shift = math.log(math.expm1(-math.log1p(-alpha)))
        return softplus(raw[:, 0] + NOTHING + shift) / self.voxel

    def density(self, unit: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density per radius of the ball, at points of the box's unit cube."""
        return self.activated(sparse_sample(self.rows, self.index, unit))

    def update_occupancy(self, seed: int, everywhere: bool) -> None:
        def density(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
            return self.density(self.ball.to_box(points))

        generator = torch.Generator().manual_seed(seed)
        step = self.options.step_size * self.voxel
        self.occupancy.update(density, step, generator, everywhere)

    @property
    def rows(self) -> Float[Tensor, "rows 1"]:
        """What is interpolated: raw densities relative to that of empty space."""
        rows = self.raw_density * self.scale - NOTHING
        return torch.cat([torch.zeros_like(rows[:1]), rows[1:]])

    def render_rays(
        self, rays: Rays, jitter: Float[Tensor, "rays"], truth: Float[Tensor, "rays 3"] | None
    ) -> tuple[Rendering, Float[Tensor, ""]]:
        """Render rays; also the error of the colors of single samples (per-point rgb loss)."""
        options = self.options
        origins, directions = self.ball.to_unit(rays.origins), rays.directions
        grid = self.occupancy.march_grid(options.step_size * self.voxel)
        bins = march(origins.detach(), directions.detach(), jitter, grid, DARK)
        start, towards = self.ball.to_box(origins), directions / (2 * self.ball.half_sides)
        with torch.no_grad():
            unit = along_rays(start, towards, bins.middles, bins.offsets)
            least = options.prune_threshold if self.stage else COARSE_SKIP_WEIGHT
            bins = drop_light_bins(bins, self.density(unit), least)
        unit = along_rays(start, towards, bins.middles, bins.offsets)
        density = self.density(unit)
        features = sparse_sample(self.features, self.index, unit)
        if not self.stage:
            color = features.sigmoid()
        else:
            places = positional_encoding(2 * unit - 1, options.frequencies)
            view = positional_encoding(directions, options.direction_frequencies)
            head = torch.cat([directions, view], dim=1), bins.offsets
            inputs = torch.cat([features, unit, places], dim=1)
            color = mlp(inputs, list(self.network), "sigmoid", ray_inputs=head)
        out = composite(density, color, bins.starts, bins.ends, bins.offsets)
        depth = self.ball.radius * out.mean_distance
        off = out.opacity.new_zeros(())
        if truth is not None:
            errors = (color - expand(truth, bins.offsets)).square().sum(1)
            off = (out.weights.detach() * errors).sum() / len(truth)
        return Rendering(out.color, out.opacity, depth), off


@dataclass(frozen=True)
class DVGO(Method[DVGOModel, Views]):
    """Post-activated voxels: a coarse grid, then a fine one with a small network (2022)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    coarse_vertices: int = 100
    """Vertices along each axis of the coarse grid."""
    finest: int = 160
    """Cube root of the final number of vertices in the fine grid's box."""
    refinements: int = 4
    """Times that the fine grid is refined, each time to twice as many vertices."""
    coarse_share: float = 0.2
    """Fraction of training for the coarse grid."""
    refine_until: float = 0.36
    """Fraction of training after which the fine grid has its final resolution."""
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
    box_threshold: float = 1e-3
    """Opacity of a voxel of the coarse grid above which it belongs to the scene."""
    prune_threshold: float = 1e-4
    """Opacity of a voxel below which a vertex of the fine grid is pruned, unless a neighbor is
    above it, and rendering weight below which samples are skipped."""
    step_size: float = 0.5
    """Length of the bins along a ray, in voxels."""
    rays: int = 8192
    """Rays per training step."""
    grid_learning_rate: float = 0.1
    """Learning rate of densities and features."""
    network_learning_rate: float = 1e-3
    """Learning rate of the network."""
    lazy: bool = True
    """Whether vertices without gradient stay as they are in a step, with their averages."""
    epsilon: float = 1e-8
    """Adam's ε: with a smaller one, the almost empty coarse grid learns in fewer steps."""
    learning_rate_decay: float = 0.1
    """Factor on the learning rates in the time of the fine grid, anew from each refinement."""
    sample_weight: float = 0.1
    """Weight of the per-point color loss; a tenth of it for the fine grid."""
    entropy_weight: float = 1e-2
    """Weight of the entropy of opacities; a tenth of it for the fine grid."""

    def build(self, data: Views, generator: torch.Generator) -> DVGOModel:
        index = sparse_voxels.full_index([self.coarse_vertices] * 3)
        model = DVGOModel(self, index, 3, generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        places = 2 * sparse_voxels.vertex_positions(index) - 1
        seen = view_counts(model.ball.center + model.ball.radius * places, data.cameras)
        model.scale[1:, 0] = seen / seen.max()
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> DVGOModel:
        channels = tensors["features"].shape[1]
        model = DVGOModel(self, tensors["index"], channels, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: DVGOModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.raw_density, model.features], "lr": self.grid_learning_rate},
            {"params": list(model.network), "lr": self.network_learning_rate},
        ]
        return grid_adam(groups, (0.9, 0.99), self.epsilon, self.lazy)

    def schedule(self, progress: Progress) -> float:
        _, since = self._stage(progress.fraction)
        return self.learning_rate_decay ** (since / (1 - self.coarse_share))

    def losses(
        self, model: DVGOModel, data: Views, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        jitter = torch.rand(self.rays, generator=generator).to(batch.rgba.device)
        rendering, off = model.render_rays(batch.rays, jitter, own_colors(batch.rgba))
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        weight = 0.1 if model.stage else 1.0
        return {
            "color": error,
            "samples": weight * self.sample_weight * off,
            "entropy": weight * self.entropy_weight * entropy(rendering.opacity).mean(),
            "metric/psnr": -10 * error.detach().log10(),
        }

    def after_step(
        self, model: DVGOModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        stage, looks = self._stage(progress.fraction)[0], progress.step % 16 == 15
        due = stage != int(model.stage) and (looks or bool(model.stage))
        finer = due and self._refine(model, optimizer, stage)
        # The coarse grid starts almost empty, and must not be mistaken for empty space.
        if finer or (looks and model.stage):
            model.update_occupancy(progress.step, everywhere=finer)

    def _stage(self, fraction: float) -> tuple[int, float]:
        """Number of the grid, 0 for the coarse one, and fraction of training since then."""
        between = (self.refine_until - self.coarse_share) / max(1, self.refinements)
        starts = [0.0, *(self.coarse_share + between * k for k in range(self.refinements + 1))]
        stage = sum(fraction >= start for start in starts) - 1
        return stage, fraction - starts[stage]

    @torch.no_grad()
    def _refine(self, model: DVGOModel, optimizer: torch.optim.Optimizer, stage: int) -> bool:
        """Resample the geometry to the grid of a stage, once there is any."""
        raw = model.rows[model.index.flatten().long()]
        depth = (model.activated(raw) * model.voxel).view(model.index.shape)
        threshold = self.prune_threshold if model.stage else self.box_threshold
        there = -torch.expm1(-depth) > threshold
        kept = sparse_voxels.dilate(there).flatten()
        if not keeps_most((depth - COARSE_ALPHA).relu().flatten(), kept):
            if not model.stage:
                return False  # The scene has not emerged yet.
            there = model.index > 0
        box = None if model.stage else sparse_voxels.bounding_box(there, BOX_MARGIN)
        if box is not None:
            model.ball.shrink(*box)
            model.occupancy.density.zero_()  # Its cells are elsewhere now.
        vertices = self.finest * 2 ** ((stage - 1 - self.refinements) / 3)
        index = sparse_voxels.refine_index(there, model.ball.grid_sizes(vertices), box)
        new = raw.new_zeros(int(index.max()) + 1, 1 + self.features)
        if box is None:
            old = torch.cat([model.rows, model.features], dim=1)
            new = sparse_voxels.resample_rows(old, model.index, index)
            new[:, 0] += NOTHING
        for name, values in (("raw_density", new[:, :1]), ("features", new[:, 1:])):
            setattr(model, name, replace_parameter(optimizer, getattr(model, name), values))
        model.index, model.scale = index, torch.ones_like(model.raw_density)
        model.stage.fill_(stage)
        return True

    def finish(self, model: DVGOModel, data: Views) -> None:
        """Update the whole occupancy grid, so that rendering skips all empty space."""
        model.update_occupancy(0, everywhere=True)

    def smaller(self) -> "Method[DVGOModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: DVGOModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            return model.render_rays(rays, torch.full_like(rays.pixel_radius, 0.5), None)[0]

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)

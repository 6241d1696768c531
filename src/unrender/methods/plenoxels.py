"""Plenoxels: a radiance field without a network.

Yu, Fridovich-Keil, Tancik, Chen, Recht, Kanazawa, "Plenoxels: Radiance Fields without Neural
Networks", CVPR 2022, https://arxiv.org/abs/2112.05131.

Each vertex of a sparse grid stores a density and the spherical-harmonics coefficients of each
color channel (sec. 3.1); both are interpolated trilinearly. The grid is fitted from coarse to
fine: empty vertices are pruned before the others are subdivided (sec. 3.3). A total variation
loss smooths what few views observe (eq. 3).

The preset `plenoxels` is the paper's for synthetic scenes, with schedules as fractions of
128,000 steps; the learning rates and their delay are those of the authors' code. What differs:
RMSProp's averages are corrected for their start at 0; vertices are pruned by opacity, not by
their largest weight in a training ray (the paper names both); and the total variation is that
of random vertices, not of runs of neighbors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.fields.sparse_voxels import (
    full_index,
    pruned_index,
    resample_rows,
    vertex_positions,
)
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.march import march
from unrender.kernels.sparse_grid import sparse_sample
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.optimizers.adam import grid_adam
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.parameters import replace_parameter
from unrender.training.pixels import pixel_errors

VARIATION_VERTICES = 256
"""Vertices along an axis for which the differences of the total variation are not scaled."""
OCCUPANCY_CELLS = 96
RAYS_AT_ONCE = 1 << 12


class PlenoxelsModel(nn.Module):
    """A cube around the bounding sphere that the cameras look at; lengths are in its radii."""

    index: Tensor

    def __init__(self, index: Int[Tensor, "x y z"], options: "Plenoxels"):
        super().__init__()
        self.sh_degree = degree = options.sh_degree
        self.stop_optical_depth = options.stop_optical_depth
        rows = int(index.max()) + 1
        self.ball = Ball()
        self.register_buffer("index", index)
        self.density = nn.Parameter(torch.zeros(rows, 1))
        self.harmonics = nn.Parameter(torch.zeros(rows, 3 * (degree + 1) ** 2))
        self.occupancy = OccupancyGrid(1.0, OCCUPANCY_CELLS)
        self._places: Tensor | None = None

    @property
    def places(self) -> Int[Tensor, "vertices 3"]:
        """Grid coordinates of the vertices with rows 1, 2 and so on."""
        if self._places is None:
            self._places = self.index.nonzero()
        return self._places

    def resize(self, index: Int[Tensor, "x y z"]) -> None:
        self.index, self._places = index, None

    @property
    def voxel(self) -> float:
        """Side of a voxel."""
        return 2 / (len(self.index) - 1)

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density per radius of the bounding sphere, at points of its frame."""
        return sparse_sample(self.density, self.index, (points + 1) / 2)[:, 0].relu()

    def render_rays(self, rays: Rays, step: float, jitter: Float[Tensor, "rays"]) -> Rendering:
        """Render rays; `step`: the length of bins, in voxels."""
        origins, directions = self.ball.to_unit(rays.origins), rays.directions
        grid = self.occupancy.march_grid(step * self.voxel)
        bins = march(
            origins.detach(), directions.detach(), jitter, grid, self.stop_optical_depth
        )
        unit = along_rays((origins + 1) / 2, directions / 2, bins.middles, bins.offsets)
        density = sparse_sample(self.density, self.index, unit)[:, 0].relu()
        basis = expand(spherical_harmonics(directions, self.sh_degree), bins.offsets)
        found = sparse_sample(self.harmonics, self.index, unit)
        color = (found.view(len(unit), 3, basis.shape[1]) * basis[:, None]).sum(2)
        # Gray where there are no coefficients.
        color = (0.5 + color).relu()
        out = composite(density, color, bins.starts, bins.ends, bins.offsets)
        depth = self.ball.radius * out.distance / out.opacity.clamp_min(1e-6)
        return Rendering(out.color, out.opacity, depth)


@dataclass(frozen=True)
class Plenoxels(Method[PlenoxelsModel, Views]):
    """Sparse voxels with spherical harmonics, and no network (2022)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    coarsest: int = 256
    """Initial number of vertices along each axis."""
    finest: int = 512
    """Final number of vertices along each axis."""
    refinements: int = 1
    """Times that the grid is refined, by equal factors."""
    refine_until: float = 0.3
    """Fraction of training after which the grid has its final resolution: 38,400 steps."""
    sh_degree: int = 2
    """Degree of the spherical harmonics of view-dependent color."""
    initial_density: float = 0.1
    """Initial density everywhere, per radius of the bounding sphere."""
    prune_threshold: float = 0.01
    """Optical depth of a voxel below which a vertex is pruned, unless a neighbor is above
    it."""
    step_size: float = 0.5
    """Length of the bins along a ray, in voxels."""
    rays: int = 5000
    """Rays per training step."""
    density_learning_rate: float = 30.0
    """Initial learning rate of the densities."""
    color_learning_rate: float = 0.01
    """Initial learning rate of the spherical-harmonics coefficients."""
    lazy: bool = True
    """Whether vertices without gradient stay as they are in a step, with their averages."""
    learning_rate_decay: float = 0.038
    """Final learning rate of the densities, as a fraction of the initial one; the decay is
    exponential: from 30 to 0.05 in 250,000 steps."""
    color_learning_rate_decay: float = 0.02
    """Final learning rate of the coefficients, as a fraction of the initial one: from 0.01 to
    5e-6 in 250,000 steps."""
    delay: float = 15 / 128
    """Fraction of training in which the learning rate of the densities increases from 1% of its
    value, along a quarter of a sine."""
    density_variation: float = 1e-5
    """Weight of the total variation of the densities."""
    color_variation: float = 1e-3
    """Weight of the total variation of the coefficients."""
    variation_share: float = 0.01
    """Fraction of the vertices, sampled anew in each step, for the total variation."""
    variation_until: float = 0.3
    """Fraction of training after which there is no total variation."""
    stop_optical_depth: float = 16.0
    """Optical depth, as estimated by the occupancy grid, at which a ray ends: that of a
    transmittance of 1e-7."""

    def build(self, data: Views, generator: torch.Generator) -> PlenoxelsModel:
        model = PlenoxelsModel(full_index([self.coarsest] * 3), self)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        with torch.no_grad():
            model.density[1:] = self.initial_density
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> PlenoxelsModel:
        model = PlenoxelsModel(tensors["index"], self)
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: PlenoxelsModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.density], "lr": self.density_learning_rate},
            {"params": [model.harmonics], "lr": self.color_learning_rate},
        ]
        # Without momentum Adam is the paper's RMSProp with bias correction.
        return grid_adam(groups, (0.0, 0.95), 1e-8, self.lazy)

    def schedule(self, progress: Progress) -> list[float]:
        done = min(1.0, progress.fraction / self.delay) if self.delay else 1.0
        delayed = 0.01 + 0.99 * math.sin(math.pi / 2 * done)
        density, color = (
            decay**progress.fraction
            for decay in (self.learning_rate_decay, self.color_learning_rate_decay)
        )
        return [delayed * density, color]

    def losses(
        self,
        model: PlenoxelsModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        jitter = torch.rand(self.rays, generator=generator).to(batch.rgba.device)
        rendering = model.render_rays(batch.rays, self.step_size, jitter)
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        density = color = error.new_zeros(())
        if progress.fraction < self.variation_until:
            rows, neighbours = self._neighbours(model, generator)
            # Differences are relative to the resolution: a slope's do not depend on it.
            scale = len(model.index) / VARIATION_VERTICES
            density = variation(model.density, rows, neighbours, scale)
            color = variation(model.harmonics, rows, neighbours, scale)
        return {
            "color": error,
            "density variation": self.density_variation * density,
            "color variation": self.color_variation * color,
            "metric/psnr": -10 * error.detach().log10(),
        }

    def _neighbours(
        self, model: PlenoxelsModel, generator: torch.Generator
    ) -> tuple[Int[Tensor, "chosen"], Int[Tensor, "3 chosen"]]:
        """Rows of sampled vertices, and of their neighbors along each axis."""
        index, count = model.index, len(model.places)
        number = max(1, int(self.variation_share * count))
        chosen = torch.randint(count, (number,), generator=generator).to(index.device)
        beside = [
            index[tuple((model.places[chosen] + axis).clamp_max(len(index) - 1).T)]
            for axis in torch.eye(3, dtype=torch.long, device=index.device)
        ]
        return chosen + 1, torch.stack(beside).long()

    def after_step(
        self, model: PlenoxelsModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        size = self._vertices(progress.fraction)
        finer = size != len(model.index)
        if finer:
            finer = self._refine(model, optimizer, size)
        if finer or progress.step % 16 == 15:
            generator = torch.Generator().manual_seed(progress.step)
            step = self.step_size * model.voxel
            model.occupancy.update(model.density_at, step, generator, everywhere=finer)

    def _vertices(self, fraction: float) -> int:
        """Vertices along each axis, at this fraction of training."""
        stage = min(self.refinements, int(self.refinements * fraction / self.refine_until))
        factor = (self.finest / self.coarsest) ** (stage / max(1, self.refinements))
        return round(self.coarsest * factor)

    @torch.no_grad()
    def _refine(
        self, model: PlenoxelsModel, optimizer: torch.optim.Optimizer, size: int
    ) -> bool:
        """Prune empty vertices, and resample to a grid of `size` vertices along each axis, once
        the scene has emerged.
        """
        points = vertex_positions(full_index([size] * 3, model.index.device))
        side = 2 / (size - 1)
        depth = (model.density_at(2 * points - 1) * side).view(size, size, size)
        haze = self.initial_density * side
        index = pruned_index(model.index, depth, self.prune_threshold, haze)
        if index is None:
            return False
        for name in ("density", "harmonics"):
            old = getattr(model, name)
            rows = resample_rows(old, model.index, index)
            setattr(model, name, replace_parameter(optimizer, old, rows))
        model.resize(index)
        return True

    def finish(self, model: PlenoxelsModel, data: Views) -> None:
        """Update the whole occupancy grid, so that rendering skips all empty space."""
        generator = torch.Generator().manual_seed(0)
        model.occupancy.update(model.density_at, self.step_size * model.voxel, generator, True)

    def smaller(self) -> "Method[PlenoxelsModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: PlenoxelsModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            return model.render_rays(
                rays, self.step_size, torch.full_like(rays.pixel_radius, 0.5)
            )

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)


def variation(
    values: Float[Tensor, "rows channels"],
    rows: Int[Tensor, "chosen"],
    neighbours: Int[Tensor, "3 chosen"],
    scale: float,
) -> Float[Tensor, ""]:
    """Norm of scale × the differences of each channel along the three axes (eq. 3): its mean
    over the vertices, summed over the channels.
    """
    square = sum((values[beside] - values[rows]).square() for beside in neighbours)
    return (scale**2 * torch.as_tensor(square) + 1e-9).sqrt().sum(1).mean()

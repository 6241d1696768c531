"""Plenoxels: a radiance field without a network.

Yu, Fridovich-Keil, Tancik, Chen, Recht, Kanazawa, "Plenoxels: Radiance Fields without Neural
Networks", CVPR 2022, https://arxiv.org/abs/2112.05131.

Each vertex of a sparse grid holds a density and the coefficients of spherical harmonics for
each colour (sec. 3.1); both are interpolated between vertices. The grid is fitted from coarse
to fine: where there is nothing, vertices are left out before the others are divided (sec. 3.3).
Total variation keeps what few views see smooth (eq. 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.fields.sparse_voxels import (
    dilate,
    index_occupied,
    resample_rows,
    vertex_positions,
)
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.march import march
from unrender.kernels.sparse_grid import sparse_sample
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.method import Method, Progress, halve
from unrender.training.parameters import replace_parameter
from unrender.training.pixels import pixel_errors

DARK = 8.0
"""Optical depth behind which a ray ends."""
OCCUPANCY_CELLS = 96
RAYS_AT_ONCE = 1 << 12


class PlenoxelsModel(nn.Module):
    """A cube around the ball that the cameras look at; lengths are in radii of the ball."""

    index: Tensor

    def __init__(self, index: Int[Tensor, "x y z"], degree: int):
        super().__init__()
        self.degree = degree
        rows = int(index.max()) + 1
        self.ball = Ball()
        self.register_buffer("index", index)
        self.density = nn.Parameter(torch.zeros(rows, 1))
        self.harmonics = nn.Parameter(torch.zeros(rows, 3 * (degree + 1) ** 2))
        self.occupancy = OccupancyGrid(1.0, OCCUPANCY_CELLS)
        self._places: Tensor | None = None

    @property
    def places(self) -> Int[Tensor, "vertices 3"]:
        """Of the vertices with rows 1, 2, …, in the grid."""
        if self._places is None:
            self._places = self.index.nonzero()
        return self._places

    def resize(self, index: Int[Tensor, "x y z"]) -> None:
        self.index, self._places = index, None

    @property
    def voxel(self) -> float:
        """Its side."""
        return 2 / (len(self.index) - 1)

    def density_at(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Per radius."""
        return sparse_sample(self.density, self.index, (points + 1) / 2)[:, 0].relu()

    def render_rays(self, rays: Rays, step: float, jitter: Float[Tensor, "rays"]) -> Rendering:
        """`step`: the length of bins, in voxels."""
        origins, directions = self.ball.to_unit(rays.origins), rays.directions
        grid = self.occupancy.march_grid(step * self.voxel)
        bins = march(origins.detach(), directions.detach(), jitter, grid, DARK)
        middles = (bins.starts + bins.ends) / 2
        unit = along_rays((origins + 1) / 2, directions / 2, middles, bins.offsets)
        density = sparse_sample(self.density, self.index, unit)[:, 0].relu()
        basis = expand(spherical_harmonics(directions, self.degree), bins.offsets)
        found = sparse_sample(self.harmonics, self.index, unit)
        color = (found.view(len(unit), 3, basis.shape[1]) * basis[:, None]).sum(2)
        # Grey where there are no coefficients.
        color = (0.5 + color).relu()
        out = composite(density, color, bins.starts, bins.ends, bins.offsets)
        depth = self.ball.radius * out.distance / out.opacity.clamp_min(1e-6)
        return Rendering(out.color, out.opacity, depth)


@dataclass(frozen=True)
class Plenoxels(Method[PlenoxelsModel, Views]):
    """Sparse voxels with spherical harmonics, and no network (2022)."""

    coarsest: int = 128
    """Vertices along each axis at the start."""
    finest: int = 512
    """Vertices along each axis at the end."""
    refinements: int = 2
    """Times that the grid is made finer, by equal factors."""
    refined: float = 0.4
    """Share of the fit after which it is as fine as will be."""
    degree: int = 2
    """Of the harmonics by which colours depend on the direction."""
    first_density: float = 0.1
    """Everywhere at the start, per radius of the ball that the cameras look at."""
    kept: float = 0.01
    """Vertices are left out where a voxel has a smaller optical depth than this, and those
    next to it too."""
    step: float = 0.5
    """Length of the bins along a ray, in voxels."""
    rays: int = 5000
    """Rays of a training step."""
    density_rate: float = 30.0
    """Learning rate of the densities at the start."""
    color_rate: float = 0.03
    """Learning rate of the harmonics' coefficients at the start."""
    last_rate: float = 0.05
    """Learning rates at the end, as a share of those at the start; they fall exponentially."""
    density_variation: float = 1e-5
    """Weight of the densities' total variation."""
    color_variation: float = 1e-3
    """Weight of the coefficients' total variation."""
    varied: float = 0.02
    """Share of the vertices, drawn anew for each step, whose variation is looked at."""

    def build(self, data: Views, generator: torch.Generator) -> PlenoxelsModel:
        shape = (self.coarsest,) * 3
        model = PlenoxelsModel(index_occupied(torch.ones(shape, dtype=torch.bool)), self.degree)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        with torch.no_grad():
            model.density[1:] = self.first_density
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> PlenoxelsModel:
        model = PlenoxelsModel(tensors["index"], self.degree)
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: PlenoxelsModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.density], "lr": self.density_rate},
            {"params": [model.harmonics], "lr": self.color_rate},
        ]
        # Without momentum Adam is RMSProp, the paper's, corrected for its first steps.
        return torch.optim.Adam(groups, betas=(0.0, 0.95), eps=1e-8, fused=True)

    def learning_rate(self, progress: Progress) -> float:
        return self.last_rate**progress.fraction

    def losses(
        self,
        model: PlenoxelsModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        jitter = torch.rand(self.rays, generator=generator).to(batch.rgba.device)
        rendering = model.render_rays(batch.rays, self.step, jitter)
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        rows, neighbours = self._neighbours(model, generator)
        density, color = (
            variation(values, rows, neighbours) for values in (model.density, model.harmonics)
        )
        return {
            "color": error,
            "density variation": self.density_variation * density,
            "color variation": self.color_variation * color,
            "metric/psnr": -10 * error.detach().log10(),
        }

    def _neighbours(
        self, model: PlenoxelsModel, generator: torch.Generator
    ) -> tuple[Int[Tensor, "chosen"], Int[Tensor, "3 chosen"]]:
        """Rows of some vertices, and those of the vertices next to them along each axis."""
        index, count = model.index, len(model.places)
        number = max(1, int(self.varied * count))
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
            self._refine(model, optimizer, size)
        if finer or progress.step % 16 == 15:
            generator = torch.Generator().manual_seed(progress.step)
            step = self.step * model.voxel
            model.occupancy.update(model.density_at, step, generator, everywhere=finer)

    def _vertices(self, fraction: float) -> int:
        """Along each axis, at this share of the fit."""
        stage = min(self.refinements, int(self.refinements * fraction / self.refined))
        factor = (self.finest / self.coarsest) ** (stage / max(1, self.refinements))
        return round(self.coarsest * factor)

    @torch.no_grad()
    def _refine(
        self, model: PlenoxelsModel, optimizer: torch.optim.Optimizer, size: int
    ) -> None:
        """Leave out empty vertices, and take a grid of `size` vertices along each axis."""
        everywhere = index_occupied(torch.ones(size, size, size, dtype=torch.bool))
        points = vertex_positions(everywhere.to(model.index.device))
        depth = model.density_at(2 * points - 1) * 2 / (size - 1)
        index = index_occupied(dilate((depth > self.kept).view(size, size, size)))
        for name in ("density", "harmonics"):
            old = getattr(model, name)
            rows = resample_rows(old, model.index, index)
            setattr(model, name, replace_parameter(optimizer, old, rows))
        model.resize(index)

    def finish(self, model: PlenoxelsModel, data: Views) -> None:
        """Look at every cell once more, so that renders skip all that turned out empty."""
        generator = torch.Generator().manual_seed(0)
        model.occupancy.update(model.density_at, self.step * model.voxel, generator, True)

    def smaller(self) -> "Method[PlenoxelsModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: PlenoxelsModel, cameras: Cameras) -> Rendering:
        """Differentiable in the cameras' poses where these require gradients."""

        def tile(rays: Rays) -> Rendering:
            return model.render_rays(rays, self.step, torch.full_like(rays.pixel_radius, 0.5))

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)


def variation(
    values: Float[Tensor, "rows channels"],
    rows: Int[Tensor, "chosen"],
    neighbours: Int[Tensor, "3 chosen"],
) -> Float[Tensor, ""]:
    """The mean length of the channels' differences along the three axes (eq. 3)."""
    square = sum((values[beside] - values[rows]).square() for beside in neighbours)
    return (torch.as_tensor(square) + 1e-9).sqrt().mean()

"""The occupancy grid of Instant NGP, which marks where there may be matter.

Müller et al., SIGGRAPH 2022, appendix E.1: a decaying maximum of sampled densities, updated
while the field trains.
"""

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.kernels.march import MarchGrid
from unrender.kernels.occupancy import occupied_cells, update_density

Density = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""Density per unit length at world points."""

THRESHOLD = 0.01
"""Optical depth of one step above which a cell counts as occupied."""
CHUNK_SIZE = 1 << 17
"""Number of points whose density is queried at once."""
DECAY, QUERIES = 0.8, 1 << 17
"""Defaults of the grid; Instant NGP has a decay of 0.95, and queries half as many points as
there are cells."""


class OccupancyGrid(nn.Module):
    """The cube [−half_width, half_width]³ as a grid of cells, all occupied at first.

    `decay` is the factor on a cell's old density estimate at each update, and `queries` the
    number of cells that an update queries, unless it updates all of them.
    """

    occupied: Tensor
    density: Tensor

    def __init__(
        self, half_width: float, cells: int, decay: float = DECAY, queries: int = QUERIES
    ):
        super().__init__()
        self.half_width, self.decay, self.queries = half_width, decay, queries
        self.register_buffer("occupied", torch.ones(cells, cells, cells, dtype=torch.bool))
        self.register_buffer("density", torch.zeros(cells, cells, cells))
        self._grid: MarchGrid | None = None

    def march_grid(self, step: float, growth: float = 0.0, nearest: float = 0.0) -> MarchGrid:
        """The grid for ray marching with bins of length `step`, from the distance `nearest`.

        At large distances, bins have the length `growth` × distance.
        """
        grid = self._grid
        if (
            grid is None
            or grid.step != step
            or grid.optical_depth.device != self.density.device
        ):
            grid = MarchGrid.from_cells(self.half_width, self.occupied, self.density, step)
        if (grid.cone_angle, grid.near) != (growth, nearest):
            grid = dataclasses.replace(grid, cone_angle=growth, near=nearest)
        self._grid = grid
        return grid

    @torch.no_grad()
    def update(
        self, density: Density, step: float, generator: torch.Generator, everywhere: bool
    ) -> None:
        """Update the density of every cell, or of `queries` cells: half random, half occupied.

        `step` is the length of the bins that rays are divided into, in scene units.
        """
        if everywhere:
            chosen = [torch.arange(self.density.numel())]
        else:
            chosen = [self._sample_cells(generator), self._sample_occupied_cells(generator)]
        for index in chosen:
            for part in index.to(self.density.device).split(CHUNK_SIZE):
                values = density(self._points(part, generator))
                update_density(self.density, part, values, self.decay)
        self.occupied.copy_(occupied_cells(self.density, step, THRESHOLD))
        self._grid = None

    def _sample_cells(self, generator: torch.Generator) -> Int[Tensor, "chosen"]:
        """One random cell from each group of consecutive cells."""
        count = self.density.numel()
        group = max(1, 2 * count // self.queries)
        first = torch.arange(0, count, group)
        offset = torch.randint(group, (len(first),), generator=generator)
        return (first + offset).clamp_max_(count - 1)

    def _sample_occupied_cells(self, generator: torch.Generator) -> Int[Tensor, "chosen"]:
        """One random cell from each group of consecutive occupied cells."""
        occupied = self.occupied.view(-1).nonzero()[:, 0].cpu()
        group = 1 + 2 * len(occupied) // self.queries
        first = torch.arange(0, len(occupied), group)
        offset = torch.randint(group, (len(first),), generator=generator)
        return occupied[(first + offset).clamp_max_(len(occupied) - 1)]

    def _points(
        self, index: Int[Tensor, "chosen"], generator: torch.Generator
    ) -> Float[Tensor, "chosen 3"]:
        """A random point in each of the cells."""
        cells = len(self.occupied)
        corner = torch.stack([index // (cells * cells), index // cells % cells, index % cells])
        offset = torch.rand(corner.shape, generator=generator).to(corner.device)
        return ((corner + offset) * (2 * self.half_width / cells) - self.half_width).T

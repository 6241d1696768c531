"""The occupancy grid: where in the scene there may be matter, learnt beside the field.

Müller et al., SIGGRAPH 2022, appendix E.1: a decaying maximum of sampled densities.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.kernels.march import MarchGrid

Density = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""Density per unit length at world points."""

DECAY = 0.8
"""What is left of a cell's old estimate when it is looked at again."""
THRESHOLD = 0.01
"""Optical depth of one step above which a cell counts as occupied."""
AT_ONCE = 1 << 17
"""Points whose density is asked for together."""


class OccupancyGrid(nn.Module):
    """A cube [−half_width, half_width]³ of cells; at first all of it may hold matter."""

    occupied: Tensor
    density: Tensor

    def __init__(self, half_width: float, cells: int):
        super().__init__()
        self.half_width = half_width
        self.register_buffer("occupied", torch.ones(cells, cells, cells, dtype=torch.bool))
        self.register_buffer("density", torch.zeros(cells, cells, cells))
        self._grid: MarchGrid | None = None

    def march_grid(self) -> MarchGrid:
        """The grid as rays see it now."""
        if self._grid is None or self._grid.occupied.device != self.occupied.device:
            self._grid = MarchGrid.from_cells(self.half_width, self.occupied, self.density)
        return self._grid

    @torch.no_grad()
    def update(
        self, density: Density, step: float, generator: torch.Generator, everywhere: bool
    ) -> None:
        """Look again: at every cell, or at as many random ones and occupied ones as AT_ONCE.

        `step` is the length of the bins that rays are cut into, in scene units.
        """
        stored = self.density.view(-1)
        if everywhere:
            index = torch.arange(len(stored), device=stored.device)
        else:
            index = self._some_cells(generator)
        seen = torch.cat(
            [density(self._points(part, generator)) for part in index.split(AT_ONCE)]
        )
        stored[index] = torch.maximum(stored[index] * DECAY, seen)
        # A scene of thin matter has a low mean, and then the threshold follows it down.
        threshold = min(THRESHOLD, float(stored.mean()) * step)
        self.occupied.copy_(self.density * step > threshold)
        self._grid = None

    def _some_cells(self, generator: torch.Generator) -> Int[Tensor, "chosen"]:
        flat = self.occupied.view(-1)
        half = AT_ONCE // 2
        anywhere = torch.randint(len(flat), (half,), generator=generator).to(flat.device)
        occupied = flat.nonzero()[:, 0]
        if len(occupied) > half:
            chosen = torch.randint(len(occupied), (half,), generator=generator)
            occupied = occupied[chosen.to(flat.device)]
        return torch.cat([anywhere, occupied]).unique()

    def _points(
        self, index: Int[Tensor, "chosen"], generator: torch.Generator
    ) -> Float[Tensor, "chosen 3"]:
        """A random point in each of the cells."""
        cells = len(self.occupied)
        corner = torch.stack([index // (cells * cells), index // cells % cells, index % cells])
        offset = torch.rand(corner.shape, generator=generator).to(corner.device)
        return ((corner + offset) * (2 * self.half_width / cells) - self.half_width).T

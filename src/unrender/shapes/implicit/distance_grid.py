"""Where a surface may be, by its distance at the centres of cells.

A distance says more than a density does: it changes by at most the way that one goes, so that
one value bounds all of its cell.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.kernels.march import MarchGrid, march
from unrender.shapes.voxels import cell_centers

LIPSCHITZ_BOUND = 1.2
"""How steep a field may be that should have slope 1."""
MIN_OPTICAL_DEPTH = 0.02
"""Optical depth of a cell's width that is not worth looking at."""
STOP_OPTICAL_DEPTH = 6.0
"""Optical depth behind which a ray ends."""
CHUNK_SIZE = 1 << 17

Distance = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
Density = Callable[[Float[Tensor, "*batch"]], Float[Tensor, "*batch"]]
"""Of light's absorption, per unit length, at a signed distance: it falls as that grows."""


class DistanceGrid(nn.Module):
    """The cube [−1, 1]³ in cells; before the first update matter may be anywhere."""

    occupied: Tensor
    density: Tensor

    def __init__(self, cells: int):
        super().__init__()
        self.register_buffer("occupied", torch.ones(cells, cells, cells, dtype=torch.bool))
        self.register_buffer("density", torch.zeros(cells, cells, cells))
        self._grid: MarchGrid | None = None

    @property
    def cell(self) -> float:
        return 2 / len(self.occupied)

    @torch.no_grad()
    def distances(self, distance: Distance) -> Float[Tensor, "x y z"]:
        """At the centres of the cells."""
        centers = cell_centers(self.density, (-1.0, -1.0, -1.0), self.cell).view(-1, 3)
        found = torch.cat([distance(part) for part in centers.split(CHUNK_SIZE)])
        return found.view(self.density.shape)

    @torch.no_grad()
    def update(self, distance: Distance, density: Density) -> None:
        """Ask at every centre.

        A cell is left out only where even its nearest part has next to no density, and is as
        dark as its farthest part.
        """
        found = self.distances(distance)
        reach = LIPSCHITZ_BOUND * 3**0.5 / 2 * self.cell
        self.occupied.copy_(density(found - reach) * self.cell > MIN_OPTICAL_DEPTH)
        self.density.copy_(density(found + reach))
        self._grid = None

    def ray_intervals(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """From where to where each ray may meet matter; the same twice where it meets none.

        A ray ends behind cells that are dark together. No gradient flows.
        """
        if self._grid is None or self._grid.optical_depth.device != origins.device:
            self._grid = MarchGrid.from_cells(1.0, self.occupied, self.density, self.cell / 2)
        jitter = torch.full_like(origins[:, 0], 0.5)
        bins = march(
            origins.detach(), directions.detach(), jitter, self._grid, STOP_OPTICAL_DEPTH
        )
        counts = bins.offsets.diff()
        near, far = origins.new_zeros(2, len(origins)).unbind()
        there = counts > 0
        half = self.cell / 4
        # Half a bin more at each end: a cell may begin between two bins' middles.
        near[there] = (bins.starts[bins.offsets[:-1][there]] - half).clamp_min(0)
        far[there] = bins.ends[bins.offsets[1:][there] - 1] + half
        return near, far

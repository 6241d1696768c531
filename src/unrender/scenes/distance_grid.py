"""Where a surface may be, by its distance at the centres of cells.

A distance says more than a density does: it changes by at most the way that one goes, so that
one value bounds all of its cell.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.kernels.march import MarchGrid, march
from unrender.scenes.voxels import cell_centers

SLACK = 1.2
"""How steep a field may be that should have slope 1."""
EMPTY = 0.02
"""Optical depth of a cell's width that is not worth looking at."""
DARK = 6.0
"""Optical depth behind which a ray ends."""
AT_ONCE = 1 << 17

Distance = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
Density = Callable[[Float[Tensor, "*batch"]], Float[Tensor, "*batch"]]
"""Of light's absorption, per unit length, at a signed distance: it falls as that grows."""


class DistanceGrid(nn.Module):
    """The cube [−1, 1]³ in cells; before the first update a surface may be anywhere."""

    distance: Tensor

    def __init__(self, cells: int):
        super().__init__()
        self.register_buffer("distance", torch.zeros(cells, cells, cells))
        self._grid: MarchGrid | None = None

    @property
    def cell(self) -> float:
        return 2 / len(self.distance)

    @torch.no_grad()
    def update(self, distance: Distance) -> None:
        """Ask at every centre."""
        centers = cell_centers(self.distance, (-1.0, -1.0, -1.0), self.cell).view(-1, 3)
        found = torch.cat([distance(part) for part in centers.split(AT_ONCE)])
        self.distance.copy_(found.view(self.distance.shape))
        self._grid = None

    def stretches(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        density: Density,
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """From where to where each ray may meet matter; the same twice where it meets none.

        It is left out only where even the nearest part of a cell has next to no density, and
        ends only behind cells that are dark in all of their parts. No gradient flows.
        """
        if self._grid is None or self._grid.depth.device != origins.device:
            reach = SLACK * 3**0.5 / 2 * self.cell
            there = density(self.distance - reach) * self.cell > EMPTY
            surely = density(self.distance + reach)
            self._grid = MarchGrid.from_cells(1.0, there, surely, self.cell / 2)
        jitter = torch.full_like(origins[:, 0], 0.5)
        bins = march(origins.detach(), directions.detach(), jitter, self._grid, DARK)
        counts = bins.offsets.diff()
        near, far = origins.new_zeros(2, len(origins)).unbind()
        there = counts > 0
        half = self.cell / 4
        # Half a bin more at each end: a cell may begin between two bins' middles.
        near[there] = (bins.starts[bins.offsets[:-1][there]] - half).clamp_min(0)
        far[there] = bins.ends[bins.offsets[1:][there] - 1] + half
        return near, far

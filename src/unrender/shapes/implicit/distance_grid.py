"""A grid that marks where a signed distance field may have matter, to skip empty space.

A distance bounds a whole cell by one value: it changes by at most the length of the way, so the
value at the center bounds all values in the cell.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.kernels.march import MarchGrid, march
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.voxels import VoxelGrid, cell_centers

LIPSCHITZ_BOUND = 1.2
"""Assumed bound on the Lipschitz constant of a learned distance field."""
MIN_OPTICAL_DEPTH = 0.02
"""Optical depth across a cell below which the cell counts as empty."""
STOP_OPTICAL_DEPTH = 6.0
"""Optical depth at which a ray ends."""
CHUNK_SIZE = 1 << 17

Distance = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
Density = Callable[[Float[Tensor, "*batch"]], Float[Tensor, "*batch"]]
"""Density per unit length as a decreasing function of signed distance."""


class DistanceGrid(nn.Module):
    """The cube [−1, 1]³ as a grid of cells, all of them occupied until the first update."""

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
        """Distances at the centers of the cells."""
        centers = cell_centers(self.density, (-1.0, -1.0, -1.0), self.cell).view(-1, 3)
        found = torch.cat([distance(part) for part in centers.split(CHUNK_SIZE)])
        return found.view(self.density.shape)

    @torch.no_grad()
    def update(self, distance: Distance, density: Density) -> None:
        """Update the grid from the distances at all cell centers.

        A cell is empty only if even its nearest part has almost no density; its recorded
        density is that of its farthest part.
        """
        found = self.distances(distance)
        reach = LIPSCHITZ_BOUND * 3**0.5 / 2 * self.cell
        self.occupied.copy_(density(found - reach) * self.cell > MIN_OPTICAL_DEPTH)
        self.density.copy_(density(found + reach))
        self._grid = None

    def ray_intervals(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """The interval along each ray that may contain matter; empty (near = far) where none
        does.

        A ray ends where its accumulated optical depth reaches STOP_OPTICAL_DEPTH. No gradient
        flows.
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
        # Half a bin more at each end, as a cell may begin between the centers of two bins.
        near[there] = (bins.starts[bins.offsets[:-1][there]] - half).clamp_min(0)
        far[there] = bins.ends[bins.offsets[1:][there] - 1] + half
        return near, far


@torch.no_grad()
def mesh_from_distance(distance: Distance, grid: DistanceGrid, resolution: int) -> Mesh:
    """The zero level set of a signed distance in the unit ball, by marching cubes.

    The field is evaluated on about `resolution` cells per side, only near the surface that the
    distance grid's cells show. InputError if the level set is empty.
    """
    coarse = grid.distances(distance)
    if not bool((coarse < 0).any()) or not bool((coarse > 0).any()):
        what = "nothing" if float(coarse.max()) > 0 else "all of the ball"
        raise InputError(
            f"{what} is inside of the signed distance, so that it has no surface: fit "
            "longer, or look for wrong poses or masks in the data"
        )
    times = max(1, round(resolution / len(coarse)))
    values = coarse
    for axis in range(3):
        values = values.repeat_interleave(times, axis)
    fine = VoxelGrid.cube(values, 1.0)
    near = values.abs() < 2 * grid.cell
    centers = fine.centers()
    parts = centers[near].split(CHUNK_SIZE)
    values[near] = torch.cat([distance(part) for part in parts])
    values = values.maximum(centers.norm(dim=3) - 1)
    return mesh_from_voxels(fine.with_values(-values), 0.0)

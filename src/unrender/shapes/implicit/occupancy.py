"""Occupancy functions: the probability that a point is inside; ½ is the surface."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from unrender.shapes.implicit.sdf import SDF, interpolated
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import is_inside
from unrender.shapes.voxels import VoxelGrid

Occupancy = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""In [0, 1]."""


def mesh_occupancy(mesh: Mesh) -> Occupancy:
    """1 where the mesh winds around a point more than half; it may have holes."""
    return lambda points: is_inside(points, mesh).to(points.dtype)


def sdf_occupancy(sdf: SDF, softness: float = 0.0) -> Occupancy:
    """1 inside; with `softness`, in scene units, the sigmoid of −distance / softness."""
    if softness == 0:
        return lambda points: (sdf(points) < 0).to(points.dtype)
    return lambda points: (-sdf(points) / softness).sigmoid()


def grid_occupancy(grid: VoxelGrid) -> Occupancy:
    """Probabilities at the centres of cells, linear in between, and 0 outside of the grid."""

    def occupancy(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        low, high = points.new_tensor(grid.low), points.new_tensor(grid.high)
        inside = ((points >= low) & (points <= high)).all(1)
        return interpolated(grid, points) * inside

    return occupancy

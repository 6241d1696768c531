"""Conversions between meshes, point clouds, voxel grids and functions of space.

Conversions that need a grid take one as `like` and use its cells:
`VoxelGrid.around(mesh.vertices, 64)` and `VoxelGrid.cube(torch.zeros(64, 64, 64), 1.0)` make
such grids. Marching cubes merges or loses surfaces that are closer together than one cell.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from skimage.measure import marching_cubes
from torch import Tensor
from torch.nn.functional import pad

from unrender.errors import InputError
from unrender.kernels.mesh_distance import nearest_face
from unrender.kernels.nearest import k_nearest
from unrender.shapes.implicit.occupancy import Occupancy, mesh_occupancy
from unrender.shapes.implicit.sdf import SDF, mesh_sdf
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.voxels import VoxelGrid

CHUNK_SIZE = 1 << 18
"""Points at which a function is evaluated at once."""
BLOCK = 8
"""Cells per side of the blocks that `voxels_from_sdf` skips far from the surface."""


@torch.no_grad()
def voxels_from_function(
    function: Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]], like: VoxelGrid
) -> VoxelGrid:
    """A function's values at the cell centers."""
    parts = [function(part) for part in like.centers().view(-1, 3).split(CHUNK_SIZE)]
    return like.with_values(torch.cat(parts).view(like.values.shape))


@torch.no_grad()
def voxels_from_sdf(sdf: SDF, like: VoxelGrid) -> VoxelGrid:
    """Distances at the cell centers near the surface, elsewhere those at blocks' centers.

    Signs are right everywhere, so the surface is the same as with all distances, if the
    function is 1-Lipschitz.
    """
    counts = [-(-size // BLOCK) for size in like.values.shape]
    blocks = VoxelGrid(like.values.new_zeros(counts), like.low, BLOCK * like.cell)
    values = voxels_from_function(sdf, blocks).values
    # Half a block's diagonal, and two cells more.
    near = values.abs() < (BLOCK * 3**0.5 / 2 + 2) * like.cell
    for axis, size in enumerate(like.values.shape):
        values, near = (
            each.repeat_interleave(BLOCK, axis).narrow(axis, 0, size) for each in (values, near)
        )
    cells = near.nonzero()
    for part in cells.split(CHUNK_SIZE):
        points = values.new_tensor(like.low) + like.cell * (part + 0.5)
        values[part.unbind(1)] = sdf(points)
    return like.with_values(values)


def sdf_voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """Exact signed distances to a mesh at the cell centers, negative inside."""
    return voxels_from_function(mesh_sdf(mesh), like)


def voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """Solid voxelization: 1 in cells whose centers are inside. The mesh may have holes."""
    return voxels_from_function(mesh_occupancy(mesh), like)


def surface_voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """Surface voxelization: 1 in cells that contain the mesh point nearest to their center.

    The voxels of a flat piece of surface leave no path through it between cells that share a
    side (Huang et al., "An Accurate Method for Voxelizing Polygon Meshes", 1998).
    """
    centers = like.centers().view(-1, 3)
    found = nearest_face(centers, mesh.vertices, mesh.faces)
    corners = mesh.vertices[mesh.faces[found.face]]
    away = (found.barycentrics[..., None] * (corners - centers[:, None])).sum(1)
    hit = away.abs().amax(1) <= like.cell / 2
    return like.with_values(hit.to(like.values.dtype).view(like.values.shape))


def voxels_from_points(points: Float[Tensor, "points 3"], like: VoxelGrid) -> VoxelGrid:
    """1 in cells that contain a point; points outside the grid are ignored."""
    cell = ((points - points.new_tensor(like.low)) / like.cell).floor()
    sizes = points.new_tensor(like.values.shape)
    x, y, z = cell[((cell >= 0) & (cell < sizes)).all(1)].long().unbind(1)
    values = torch.zeros_like(like.values)
    values[x, y, z] = 1
    return like.with_values(values)


def mesh_from_voxels(grid: VoxelGrid, level: float = 0.5, closed: bool = True) -> Mesh:
    """The isosurface of values interpolated linearly between cell centers; above is inside.

    Marching cubes (Lewiner et al., 2003). Faces point outward and share vertices; the mesh is
    empty if no value crosses the level. It is open only where the surface leaves the box of the
    cell centers. With `closed`, everything outside the grid counts as empty, and the surface
    closes within the next half cell. Raises InputError if values are NaN or Inf.
    """
    values = grid.values.detach().float().cpu()
    if not bool(values.isfinite().all()):
        raise InputError("the values of a grid contain NaN or Inf, so it has no surface")
    if closed:
        # As far below the level as the highest value is above it, so the surface ends at the
        # cells' outer walls.
        empty = min(float(values.min()), 2 * level - float(values.max()))
        values = pad(values, (1,) * 6, value=empty)
    first = torch.tensor(grid.low) + grid.cell * (-0.5 if closed else 0.5)
    vertices, faces = np.empty((0, 3), np.float32), np.empty((0, 3), np.int64)
    if min(values.shape) > 1 and values.min() < level < values.max():
        vertices, faces, _, _ = marching_cubes(
            values.numpy(), level, gradient_direction="ascent"
        )
    positions = torch.from_numpy(np.ascontiguousarray(vertices)) * grid.cell + first
    mesh = Mesh(positions.float(), torch.from_numpy(faces.astype(np.int64)))
    return mesh.to(grid.values.device)


def mesh_from_points(cloud: PointCloud, like: VoxelGrid, neighbors: int = 8) -> Mesh:
    """Reconstruct the surface of points with outward normals, by marching cubes.

    The signed distance is a mean of the distances to the tangent planes of the nearest points,
    weighted by inverse squared distance (Hoppe et al., "Surface Reconstruction from Unorganized
    Points", 1992, with several planes instead of one). Cells far from all points get
    meaningless distances, so give a grid little larger than the points, and points denser than
    the cells. Raises InputError if there are no points or no normals.
    """
    if cloud.normals is None or len(cloud) == 0:
        raise InputError("a surface needs points with normals: estimate the normals first")
    normals, points = cloud.normals, cloud.points

    def distance(queries: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        found = k_nearest(queries[None], points[None], min(neighbors, len(points)))
        index, square = found.index[0], found.distance2[0]
        away = ((queries[:, None] - points[index]) * normals[index]).sum(2)
        weight = 1 / (square + 1e-4 * like.cell**2)
        return (weight * away).sum(1) / weight.sum(1)

    return mesh_from_sdf(distance, like)


def mesh_from_sdf(sdf: SDF, like: VoxelGrid) -> Mesh:
    """The surface where the distance is 0, by marching cubes; open where it leaves the grid."""
    values = voxels_from_function(sdf, like).values
    return mesh_from_voxels(like.with_values(-values), 0.0, closed=False)


def mesh_from_occupancy(occupancy: Occupancy, like: VoxelGrid, level: float = 0.5) -> Mesh:
    """The surface where a probability crosses the level, closed at the grid's walls."""
    return mesh_from_voxels(voxels_from_function(occupancy, like), level)

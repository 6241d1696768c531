"""From one form of a shape to another. What is made on a grid takes its cells from one.

`VoxelGrid.around(mesh.vertices, 64)` and `VoxelGrid.cube(torch.zeros(64, 64, 64), 1.0)` make
such grids. Where two surfaces are nearer than a cell, marching cubes joins or loses them.
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
"""Points at which a function is asked together."""


@torch.no_grad()
def voxels_from_function(
    function: Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]], like: VoxelGrid
) -> VoxelGrid:
    """A function's values at the centres of the cells."""
    parts = [function(part) for part in like.centers().view(-1, 3).split(CHUNK_SIZE)]
    return like.with_values(torch.cat(parts).view(like.values.shape))


def sdf_voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """Signed distances to a mesh, exact, negative inside."""
    return voxels_from_function(mesh_sdf(mesh), like)


def voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """1 in cells whose centres are inside: the solid. The mesh may have holes."""
    return voxels_from_function(mesh_occupancy(mesh), like)


def surface_voxels_from_mesh(mesh: Mesh, like: VoxelGrid) -> VoxelGrid:
    """1 in cells that have in them the point of the mesh that is nearest to their centre.

    Through a flat piece of surface no path leads from cell to cell across a side that both
    share (Huang et al., "An Accurate Method for Voxelizing Polygon Meshes", 1998).
    """
    centers = like.centers().view(-1, 3)
    found = nearest_face(centers, mesh.vertices, mesh.faces)
    corners = mesh.vertices[mesh.faces[found.face]]
    away = (found.barycentrics[..., None] * (corners - centers[:, None])).sum(1)
    hit = away.abs().amax(1) <= like.cell / 2
    return like.with_values(hit.to(like.values.dtype).view(like.values.shape))


def voxels_from_points(points: Float[Tensor, "points 3"], like: VoxelGrid) -> VoxelGrid:
    """1 in cells that hold a point; points outside of the grid are left out."""
    cell = ((points - points.new_tensor(like.low)) / like.cell).floor()
    sizes = points.new_tensor(like.values.shape)
    x, y, z = cell[((cell >= 0) & (cell < sizes)).all(1)].long().unbind(1)
    values = torch.zeros_like(like.values)
    values[x, y, z] = 1
    return like.with_values(values)


def mesh_from_voxels(grid: VoxelGrid, level: float = 0.5, closed: bool = True) -> Mesh:
    """The surface at which values, linear between centres, pass a level; they are above inside.

    Marching cubes (Lewiner et al., 2003), outward, with shared vertices; without any where no
    value passes the level. The mesh has no edge but where the surface leaves the box of the
    centres; if it is to be `closed`, all around the grid is taken to be empty, and it ends
    within the next half cell. InputError for values that are not finite.
    """
    values = grid.values.detach().float().cpu()
    if not bool(values.isfinite().all()):
        raise InputError("the values of a grid are not all finite, so that it has no surface")
    if closed:
        # As far below the level as the highest is above: the surface ends at the cells' walls.
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
    """The surface that points with outward normals lie on, by marching cubes.

    The distance is the mean of those to the planes of the nearest points, the nearer the more
    (Hoppe et al., "Surface Reconstruction from Unorganized Points", 1992, with several planes
    instead of one). Cells farther from all points than from a plane's end say nothing: give a
    grid little larger than the points, and points denser than cells. InputError where there are
    no normals.
    """
    if cloud.normals is None or len(cloud) == 0:
        raise InputError("points without normals have no inside: estimate their normals first")
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
    """The surface where a probability passes the level, closed at the grid's walls."""
    return mesh_from_voxels(voxels_from_function(occupancy, like), level)

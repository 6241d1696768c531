"""The `Shape` type, a mesh, point cloud or voxel grid, and functions for any of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid

Shape = Mesh | PointCloud | VoxelGrid
"""Voxel grids hold probabilities; cells above ½ are filled."""


def surface_points(shape: Shape, count: int, generator: torch.Generator) -> PointCloud:
    """`count` points sampled uniformly from a surface, with normals.

    A point cloud is returned as it is. The result is empty for a mesh without faces and a grid
    without filled cells.
    """
    if isinstance(shape, PointCloud):
        return shape
    mesh = mesh_from_voxels(shape) if isinstance(shape, VoxelGrid) else shape
    if len(mesh.faces) == 0:
        return PointCloud(mesh.vertices.new_zeros(0, 3), None, mesh.vertices.new_zeros(0, 3))
    drawn = sample_surface(mesh, count, generator)
    return PointCloud(drawn.points, drawn.colors, drawn.normals)


def bounds(shape: Shape) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Lowest and highest corner of the axis-aligned bounding box; zeros for an empty shape."""
    if isinstance(shape, VoxelGrid):
        points, half = shape.points(), shape.cell / 2
    else:
        points, half = shape.vertices if isinstance(shape, Mesh) else shape.points, 0.0
    if len(points) == 0:
        return points.new_zeros(3), points.new_zeros(3)
    return points.amin(0) - half, points.amax(0) + half

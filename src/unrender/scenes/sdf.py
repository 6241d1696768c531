"""Signed distance functions: how far a point is from a surface, negative inside.

Shapes stand at the origin, in scene units; move them by what is below. All are differentiable
in the points. Union keeps distances exact outside, intersection and difference give a lower
bound of them there: right in sign everywhere, and a step that is safe along a ray.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.grid_sample import grid_sample
from unrender.scenes.chamfer import safe_sqrt
from unrender.scenes.mesh import Mesh
from unrender.scenes.mesh_distance import is_inside, point_to_mesh_distance2
from unrender.scenes.voxels import VoxelGrid

SDF = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""In scene units, at points of the frame that the function is in."""


def sphere(radius: float) -> SDF:
    return lambda points: _length(points) - radius


def box(half_sizes: Sequence[float]) -> SDF:
    """From −half_sizes to half_sizes."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        beyond = points.abs() - points.new_tensor(half_sizes)
        return _length(beyond.clamp_min(0)) + beyond.amax(1).clamp_max(0)

    return distance


def torus(major: float, minor: float) -> SDF:
    """A ring of radius `major` in the xy plane, `minor` thick."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        across = _length(points[:, :2]) - major
        return _length(torch.stack([across, points[:, 2]], dim=1)) - minor

    return distance


def cylinder(radius: float, half_height: float) -> SDF:
    """About the z axis, with flat ends."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        beyond = torch.stack(
            [_length(points[:, :2]) - radius, points[:, 2].abs() - half_height], dim=1
        )
        return _length(beyond.clamp_min(0)) + beyond.amax(1).clamp_max(0)

    return distance


def capsule(start: Sequence[float], end: Sequence[float], radius: float) -> SDF:
    """All within `radius` of the segment between two different points."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        first = points.new_tensor(start)
        axis = points.new_tensor(end) - first
        share = ((points - first) @ axis / (axis @ axis)).clamp(0, 1)
        return _length(points - first - share[:, None] * axis) - radius

    return distance


def plane(normal: Sequence[float], offset: float) -> SDF:
    """The half-space normal · x < offset; the normal has unit length."""
    return lambda points: points @ points.new_tensor(normal) - offset


def union(*parts: SDF) -> SDF:
    return lambda points: torch.stack([part(points) for part in parts]).amin(0)


def intersection(*parts: SDF) -> SDF:
    return lambda points: torch.stack([part(points) for part in parts]).amax(0)


def difference(whole: SDF, hole: SDF) -> SDF:
    return lambda points: torch.maximum(whole(points), -hole(points))


def smooth_union(first: SDF, second: SDF, blend: float) -> SDF:
    """A union whose seam is filled where both surfaces are nearer than about `blend`.

    min(a, b) − h² blend / 4 with h = max(0, 1 − |a − b| / blend): once differentiable.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        a, b = first(points), second(points)
        near = (1 - (a - b).abs() / blend).clamp_min(0)
        return torch.minimum(a, b) - near.square() * (blend / 4)

    return distance


def translated(part: SDF, offset: Sequence[float]) -> SDF:
    return lambda points: part(points - points.new_tensor(offset))


def rotated(part: SDF, rotation: Float[Tensor, "3 3"]) -> SDF:
    """Turned by the rotation x ↦ rotation x."""
    return lambda points: part(points @ rotation.to(points))


def scaled(part: SDF, factor: float) -> SDF:
    return lambda points: part(points / factor) * factor


def mesh_sdf(mesh: Mesh) -> SDF:
    """The exact distance to a mesh, inside where it winds around a point more than half.

    Where the mesh has holes the sign changes without the distance being 0: away from the holes
    both are right. InputError for a mesh without faces.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        away = safe_sqrt(point_to_mesh_distance2(points, mesh))
        return torch.where(is_inside(points.detach(), mesh), -away, away)

    return distance


def grid_sdf(grid: VoxelGrid) -> SDF:
    """Distances at the centres of cells, linear in between.

    Outside of the centres' box, those of its nearest point. InputError for a grid that is only
    one cell wide.
    """
    return lambda points: interpolated(grid, points)


def interpolated(grid: VoxelGrid, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """A grid's values at world points, trilinear between the centres of its cells."""
    sizes = points.new_tensor(grid.values.shape)
    if min(grid.values.shape) < 2:
        raise InputError(
            f"a grid of {tuple(grid.values.shape)} cells has nothing to interpolate between: "
            "give it two along each axis"
        )
    place = ((points - points.new_tensor(grid.low)) / grid.cell - 0.5) / (sizes - 1)
    return grid_sample(grid.values[None], place)[:, 0]


def _length(vectors: Float[Tensor, "points axes"]) -> Float[Tensor, "points"]:
    """With derivative 0 for vectors of length 0."""
    return safe_sqrt(vectors.square().sum(1))

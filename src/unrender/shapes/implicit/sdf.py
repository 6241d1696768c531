"""Signed distance functions: how far a point is from a surface, negative inside.

Shapes stand at the origin, in scene units; move them by what is below. All are differentiable
in the points, and in their sizes and places where these are tensors. Each says what it is:

    exact     the distance itself, inside and outside
    bound     never farther than the surface: right in sign everywhere, and a step that is safe
              along a ray

Both are 1-Lipschitz, |f(x) − f(y)| ≤ |x − y|, unless said otherwise. A union of exact distances
is exact outside and a bound inside, intersections and differences are bounds; moves and
rotations change nothing. More shapes are in `sdf_shapes`, repetitions and warps in `sdf_warps`.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.grid_sample import grid_sample
from unrender.shapes.chamfer import safe_sqrt
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import is_inside, point_to_mesh_distance2
from unrender.shapes.voxels import VoxelGrid

SDF = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""In scene units, at points of the frame that the function is in."""

Scalar = float | Float[Tensor, ""]
"""A number, or a tensor that gradients may reach."""
Vector = Sequence[float] | Float[Tensor, "axes"]


def sphere(radius: Scalar) -> SDF:
    """Exact."""
    return lambda points: length(*points.unbind(1)) - radius


def box(half_sizes: Vector) -> SDF:
    """From −half_sizes to half_sizes. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        return box_distance(*(points.abs() - as_vector(half_sizes, points)).unbind(1))

    return distance


def torus(major: Scalar, minor: Scalar) -> SDF:
    """A ring of radius `major` in the xy plane, `minor` thick. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return length(length(x, y) - major, z) - minor

    return distance


def cylinder(radius: Scalar, half_height: Scalar) -> SDF:
    """About the z axis, with flat ends. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return box_distance(length(x, y) - radius, z.abs() - half_height)

    return distance


def capsule(start: Vector, end: Vector, radius: Scalar) -> SDF:
    """All within `radius` of the segment between two different points. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        first = as_vector(start, points)
        axis = as_vector(end, points) - first
        local = points - first
        share = (dot(local, axis) / (axis @ axis)).clamp(0, 1)
        x, y, z = local.unbind(1)
        return length(x - share * axis[0], y - share * axis[1], z - share * axis[2]) - radius

    return distance


def plane(normal: Vector, offset: Scalar) -> SDF:
    """The half-space normal · x < offset; the normal has unit length. Exact."""
    return lambda points: dot(points, as_vector(normal, points)) - offset


def empty() -> SDF:
    """Infinitely far from everywhere: the scene without shapes."""
    return lambda points: torch.full_like(points[:, 0], torch.inf)


def union(*parts: SDF) -> SDF:
    """Exact outside if all parts are; `nothing` of no parts."""
    if not parts:
        return empty()
    return lambda points: reduce(torch.minimum, (part(points) for part in parts))


def intersection(*parts: SDF) -> SDF:
    """What is in all parts, of which there must be some. Bound."""
    assert parts, "an intersection of nothing is everywhere"
    return lambda points: reduce(torch.maximum, (part(points) for part in parts))


def difference(whole: SDF, hole: SDF) -> SDF:
    """Bound."""
    return lambda points: torch.maximum(whole(points), -hole(points))


def smooth_union(first: SDF, second: SDF, blend: Scalar) -> SDF:
    """A union whose seam is filled where both surfaces are nearer than about `blend`. Bound.

    min(a, b) − h² blend / 4 with h = max(0, 1 − |a − b| / blend): once differentiable.
    """
    return lambda points: smooth_minimum(first(points), second(points), blend)


def smooth_intersection(first: SDF, second: SDF, blend: Scalar) -> SDF:
    """An intersection whose edges are rounded off within about `blend`. Bound."""
    return lambda points: -smooth_minimum(-first(points), -second(points), blend)


def smooth_difference(whole: SDF, hole: SDF, blend: Scalar) -> SDF:
    """A difference whose rim is rounded off within about `blend`. Bound."""
    return lambda points: -smooth_minimum(-whole(points), hole(points), blend)


def smooth_minimum(
    a: Float[Tensor, "points"], b: Float[Tensor, "points"], blend: Scalar
) -> Float[Tensor, "points"]:
    """What `smooth_union` computes; its gradient is a mean of the two, so no longer than 1."""
    # Where nothing is, ∞ − ∞ were no number.
    near = (1 - (a - b.clamp_max(1e30)).abs() / blend).clamp_min(0)
    return torch.minimum(a, b) - near.square() * (blend / 4)


def translated(part: SDF, offset: Vector) -> SDF:
    return lambda points: part(points - as_vector(offset, points))


def rotated(part: SDF, rotation: Float[Tensor, "3 3"]) -> SDF:
    """Turned by the rotation x ↦ rotation x."""
    return lambda points: part((rotation.to(points).T @ points.T).T)


def scaled(part: SDF, factor: Scalar) -> SDF:
    """The positive factor keeps distances what they are: exact or bounds."""
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


def length(*columns: Float[Tensor, "points"]) -> Float[Tensor, "points"]:
    """Of vectors given by their columns; with derivative 0 for vectors of length 0.

    Column by column, as everything here: that is ten times as fast as along rows of three.
    """
    square = reduce(torch.add, (column * column for column in columns))
    return square.clamp_min(1e-30).sqrt()


def dot(
    points: Float[Tensor, "points axes"], by: Float[Tensor, "axes"]
) -> Float[Tensor, "points"]:
    """The product of each point with one vector."""
    terms = zip(points.unbind(1), by.unbind(), strict=True)
    return reduce(torch.add, (column * factor for column, factor in terms))


def box_distance(*beyond: Float[Tensor, "points"]) -> Float[Tensor, "points"]:
    """Distance to a box from how far a point is beyond its side along each axis."""
    outside = length(*(column.clamp_min(0) for column in beyond))
    return outside + reduce(torch.maximum, beyond).clamp_max(0)


def as_vector(values: Vector, points: Float[Tensor, "points axes"]) -> Float[Tensor, "axes"]:
    """As a tensor where the points are; gradients reach what was a tensor."""
    return values.to(points) if isinstance(values, Tensor) else points.new_tensor(values)


def stack_columns(*of: Float[Tensor, "points"]) -> Float[Tensor, "points axes"]:
    """Points by their coordinates, each of which lies together in memory."""
    return torch.stack(of).T

"""Signed distance functions (SDFs): primitives, Boolean operations, meshes and grids as SDFs.

An `SDF` maps points to their signed distance from a surface, negative inside. Primitives are
centered at the origin, in scene units; move them with `translated`, `rotated` and `scaled`. All
are differentiable in the points, and in their sizes and positions where these are tensors. Each
docstring says which of two properties holds:

    exact     the value is the distance itself, inside and outside
    bound     the sign is right and the value is never larger than the distance, so that it is a
              safe step along a ray

Both kinds are 1-Lipschitz, |f(x) − f(y)| ≤ |x − y|, unless noted otherwise. A union of exact
distances is exact outside and a bound inside; intersections and differences are bounds; rigid
motions change nothing. More primitives are in `solids`; repetition and deformation in `warps`.
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
"""A function from points to signed distances, both in scene units and in the world frame."""

Scalar = float | Float[Tensor, ""]
"""A number, or a tensor that receives gradients."""
Vector = Sequence[float] | Float[Tensor, "axes"]


def sphere(radius: Scalar) -> SDF:
    """Sphere around the origin. Exact."""
    return lambda points: length(*points.unbind(1)) - radius


def box(half_sizes: Vector) -> SDF:
    """Box from −half_sizes to half_sizes. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        return box_distance(*(points.abs() - as_vector(half_sizes, points)).unbind(1))

    return distance


def torus(major: Scalar, minor: Scalar) -> SDF:
    """Torus around the z axis: a tube of radius `minor` at distance `major`. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return length(length(x, y) - major, z) - minor

    return distance


def cylinder(radius: Scalar, half_height: Scalar) -> SDF:
    """Cylinder around the z axis, with flat ends. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return box_distance(length(x, y) - radius, z.abs() - half_height)

    return distance


def capsule(start: Vector, end: Vector, radius: Scalar) -> SDF:
    """All points within `radius` of a line segment of positive length. Exact."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        first = as_vector(start, points)
        axis = as_vector(end, points) - first
        local = points - first
        share = (dot(local, axis) / (axis @ axis)).clamp(0, 1)
        x, y, z = local.unbind(1)
        return length(x - share * axis[0], y - share * axis[1], z - share * axis[2]) - radius

    return distance


def plane(normal: Vector, offset: Scalar) -> SDF:
    """The half-space normal · x < offset, for a normal of unit length. Exact."""
    return lambda points: dot(points, as_vector(normal, points)) - offset


def empty() -> SDF:
    """The empty scene: the distance is infinite everywhere."""
    return lambda points: torch.full_like(points[:, 0], torch.inf)


def union(*parts: SDF) -> SDF:
    """Union of the parts; `empty` without any. Exact outside if all parts are exact."""
    if not parts:
        return empty()
    return lambda points: reduce(torch.minimum, (part(points) for part in parts))


def intersection(*parts: SDF) -> SDF:
    """Intersection of one or more parts. Bound."""
    assert parts, "an intersection needs at least one part"
    return lambda points: reduce(torch.maximum, (part(points) for part in parts))


def difference(whole: SDF, hole: SDF) -> SDF:
    """The first shape without the second. Bound."""
    return lambda points: torch.maximum(whole(points), -hole(points))


def smooth_union(first: SDF, second: SDF, blend: Scalar) -> SDF:
    """Union with a filled seam where both surfaces are nearer than about `blend`. Bound.

    min(a, b) − h² blend / 4 with h = max(0, 1 − |a − b| / blend), which is once differentiable.
    """
    return lambda points: smooth_minimum(first(points), second(points), blend)


def smooth_intersection(first: SDF, second: SDF, blend: Scalar) -> SDF:
    """Intersection whose edges are rounded within about `blend`. Bound."""
    return lambda points: -smooth_minimum(-first(points), -second(points), blend)


def smooth_difference(whole: SDF, hole: SDF, blend: Scalar) -> SDF:
    """Difference whose rim is rounded within about `blend`. Bound."""
    return lambda points: -smooth_minimum(-whole(points), hole(points), blend)


def smooth_minimum(
    a: Float[Tensor, "points"], b: Float[Tensor, "points"], blend: Scalar
) -> Float[Tensor, "points"]:
    """The smooth minimum of `smooth_union`, of two distances.

    Its gradient is a convex combination of the two gradients, hence no longer than 1.
    """
    # In empty space, ∞ − ∞ would be NaN.
    near = (1 - (a - b.clamp_max(1e30)).abs() / blend).clamp_min(0)
    return torch.minimum(a, b) - near.square() * (blend / 4)


def translated(part: SDF, offset: Vector) -> SDF:
    """The part, moved by an offset."""
    return lambda points: part(points - as_vector(offset, points))


def rotated(part: SDF, rotation: Float[Tensor, "3 3"]) -> SDF:
    """The part, rotated by x ↦ rotation x."""
    return lambda points: part((rotation.to(points).T @ points.T).T)


def scaled(part: SDF, factor: Scalar) -> SDF:
    """The part, scaled by a positive factor. Exact distances stay exact, bounds stay bounds."""
    return lambda points: part(points / factor) * factor


def mesh_sdf(mesh: Mesh) -> SDF:
    """Exact signed distance to a mesh; inside is where its winding number exceeds ½.

    At the holes of an open mesh the sign changes although the distance is not 0; elsewhere both
    are right. Raises InputError for a mesh without faces.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        away = safe_sqrt(point_to_mesh_distance2(points, mesh))
        return torch.where(is_inside(points.detach(), mesh), -away, away)

    return distance


def grid_sdf(grid: VoxelGrid) -> SDF:
    """Trilinear interpolation of distances given at the cell centers of a grid.

    Points outside the box of the centers take the value of the nearest point in it. Raises
    InputError for a grid that is only one cell wide.
    """
    return lambda points: interpolated(grid, points)


def interpolated(grid: VoxelGrid, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """Trilinear interpolation of a grid's values, between cell centers, at world points.

    Raises InputError for a grid that is only one cell wide.
    """
    sizes = points.new_tensor(grid.values.shape)
    if min(grid.values.shape) < 2:
        raise InputError(
            f"a grid of {tuple(grid.values.shape)} cells cannot be interpolated: "
            "give at least two cells along each axis"
        )
    coordinates = ((points - points.new_tensor(grid.low)) / grid.cell - 0.5) / (sizes - 1)
    return grid_sample(grid.values[None], coordinates)[:, 0]


def length(*columns: Float[Tensor, "points"]) -> Float[Tensor, "points"]:
    """Lengths of vectors given by their coordinates, with gradient 0 at the zero vector.

    Coordinates are separate tensors here and throughout: that is ten times as fast as reducing
    rows of three.
    """
    square = reduce(torch.add, (column * column for column in columns))
    return square.clamp_min(1e-30).sqrt()


def dot(
    points: Float[Tensor, "points axes"], other: Float[Tensor, "axes"]
) -> Float[Tensor, "points"]:
    """Dot product of each point with one vector."""
    terms = zip(points.unbind(1), other.unbind(), strict=True)
    return reduce(torch.add, (column * factor for column, factor in terms))


def box_distance(*beyond: Float[Tensor, "points"]) -> Float[Tensor, "points"]:
    """Distance to a box, given how far a point lies beyond the box's side along each axis."""
    outside = length(*(column.clamp_min(0) for column in beyond))
    return outside + reduce(torch.maximum, beyond).clamp_max(0)


def as_vector(values: Vector, points: Float[Tensor, "points axes"]) -> Float[Tensor, "axes"]:
    """The vector as a tensor on the points' device; gradients reach a tensor that was given."""
    return values.to(points) if isinstance(values, Tensor) else points.new_tensor(values)


def stack_columns(*coordinates: Float[Tensor, "points"]) -> Float[Tensor, "points axes"]:
    """Points from their coordinates, with each coordinate contiguous in memory."""
    return torch.stack(coordinates).T

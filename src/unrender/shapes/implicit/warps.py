"""Signed distance functions of folded, repeated, bent or stretched space.

Folds (mirrors, repetitions) evaluate a part at another point and do not increase distances, so
the result is as safe for sphere tracing as the part. Stretching warps (twist, bend, any map)
overestimate distances by at most the map's Lipschitz constant and divide by it: the sign is
right and the value is a bound, but rays take that many times more steps.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.implicit.sdf import SDF, Scalar, Vector, as_vector, length, stack_columns

PointMap = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points 3"]]


def rounded(part: SDF, radius: Scalar) -> SDF:
    """All points within `radius` of the part. Exact outside where the part is exact."""
    return lambda points: part(points) - radius


def shell(part: SDF, thickness: Scalar) -> SDF:
    """A shell of the given thickness, centered on the part's surface. As exact as the part."""
    return lambda points: part(points).abs() - thickness / 2


def elongated(part: SDF, half_lengths: Vector) -> SDF:
    """The part cut at the planes through the origin and pulled apart, straight in between.

    Exact outside if the part is exact and symmetric about these planes; a bound inside.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        half = as_vector(half_lengths, points)
        return part(points - torch.minimum(torch.maximum(points, -half), half))

    return distance


def mirrored(part: SDF, axis: int) -> SDF:
    """The half of the part at x ≥ 0 (y or z by `axis`) and its mirror image.

    A bound; exact outside for a part that stays on its side.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        coordinates = list(points.unbind(1))
        coordinates[axis] = coordinates[axis].abs()
        return part(stack_columns(*coordinates))

    return distance


def repeated(
    part: SDF,
    spacing: Sequence[float],
    counts: Sequence[int] | None = None,
    neighbors: bool = False,
) -> SDF:
    """Copies of the part at multiples of `spacing`; axes with spacing 0 are not repeated.

    Infinitely many, or `counts` copies centered on the origin. Only the copy in a point's own
    cell is evaluated, which is the nearest one if the part stays in its cell and is symmetric
    about the cell's middle planes. For other parts, `neighbors` also evaluates the adjacent
    cells (2 to 8 times the work), which is right for parts that reach no farther than these.
    Raises InputError for a count below 1.
    """
    if counts is not None and min(counts) < 1:
        raise InputError(f"{tuple(counts)} copies: give at least 1 copy along each axis")
    axes = [axis for axis, size in enumerate(spacing) if size > 0]

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        coordinates = list(points.unbind(1))
        candidates: list[list[Tensor]] = []
        for axis in axes:
            half = 0.0 if counts is None else (counts[axis] - 1) / 2
            number = (coordinates[axis] / spacing[axis] + half).detach()
            first = number.round()
            # The other candidate is the adjacent cell on the point's side.
            second = first + torch.where(number < first, -1.0, 1.0)
            if counts is not None:
                first, second = (n.clamp(0, counts[axis] - 1) for n in (first, second))
            chosen = (first, second) if neighbors else (first,)
            candidates.append([coordinates[axis] - spacing[axis] * (n - half) for n in chosen])
        best: Tensor | None = None
        for choice in product(*candidates):
            for axis, coordinate in zip(axes, choice, strict=True):
                coordinates[axis] = coordinate
            found = part(stack_columns(*coordinates))
            best = found if best is None else torch.minimum(best, found)
        assert best is not None
        return best

    return distance


def repeated_around(part: SDF, count: int) -> SDF:
    """Copies of the part rotated about the z axis, the first where the part is, at x > 0.

    For parts that stay within their sector and are symmetric about the xz plane.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        sector = 2 * math.pi / count
        turn = (torch.atan2(y, x).detach() / sector).round() * sector
        cosine, sine = turn.cos(), turn.sin()
        return part(stack_columns(cosine * x + sine * y, cosine * y - sine * x, z))

    return distance


def warped(part: SDF, warp: PointMap, lipschitz: float) -> SDF:
    """The part evaluated at warped points; `lipschitz` bounds how much the map stretches."""
    return lambda points: part(warp(points)) / lipschitz


def displaced(part: SDF, height: SDF, lipschitz: float) -> SDF:
    """The part displaced outward by a height function with Lipschitz constant `lipschitz`."""
    return lambda points: (part(points) - height(points)) / (1 + lipschitz)


def twisted(part: SDF, turn: float, radius: float) -> SDF:
    """The part twisted about the z axis by `turn` radians per unit of z.

    `radius` bounds the part's distance from the axis. At distance ρ from the axis, the largest
    singular value of the map is (kρ + √(k²ρ² + 4)) / 2 with k = |turn|; the result is divided
    by its value at `radius`. Points farther away are evaluated at the nearest point within
    `radius`, and are at least as far as their distance to that cylinder.
    """
    stretch = abs(turn) * radius
    lipschitz = (stretch + math.sqrt(stretch * stretch + 4)) / 2

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        away = length(x, y)
        inward = (radius / away).clamp_max(1)
        cosine, sine = (turn * z).cos() * inward, (turn * z).sin() * inward
        found = part(stack_columns(cosine * x + sine * y, cosine * y - sine * x, z)) / lipschitz
        return torch.maximum(found, away - radius)

    return distance


def bent(part: SDF, curvature: float, reach: float) -> SDF:
    """The x axis bent upward to a circle of radius 1 / curvature around (0, ·, 1 / curvature).

    All of the part lies within `reach` of the xy plane, less than the circle's radius, and |x|
    < π / curvature, so that its ends do not meet. Lengths along x at height z are scaled by 1 −
    curvature z. Straight lines across the bend are shorter than paths along it: by at most π/2
    within a quarter turn, and beyond it they are no shorter than the inner radius. Raises
    InputError if `reach` is not less than the radius.
    """
    radius = 1 / abs(curvature)
    inner = radius - reach
    if inner <= 0:
        raise InputError(
            f"a bend of radius {radius:g} is too tight for a part of reach {reach:g}: give a "
            "smaller curvature"
        )
    lipschitz = math.sqrt(1 + (math.pi / 2 * radius / inner) ** 2)
    side = math.copysign(1.0, curvature)

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        down = radius - side * z
        away = length(x, down)
        # Points in the hole of the bend are evaluated at its rim.
        ring = away.clamp_min(inner)
        found = part(stack_columns(radius * torch.atan2(x, down), y, side * (radius - ring)))
        near = (found / lipschitz).clamp_max(inner)
        return torch.maximum(near, away - radius - reach)

    return distance


def with_bounding_sphere(part: SDF, center: Vector, radius: Scalar) -> SDF:
    """The same part, evaluated only at points near a sphere that contains it, for speed.

    At points farther from the sphere than its radius, the distance to the sphere is returned: a
    bound, with a jump. Worthwhile for expensive parts that fill little of the scene.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        away = length(*(points - as_vector(center, points)).unbind(1)) - radius
        near = (away < radius).nonzero()[:, 0]
        if len(near) == len(points):
            return part(points)
        if not len(near):
            return away
        return away.index_copy(0, near, part(points.T[:, near].T))

    return distance

"""Signed distance functions of space that is folded, repeated, bent or stretched.

What folds space (mirrors, repetitions) asks a part at another point that is no farther from
others than the point itself, so that the outcome is as safe as the part. What stretches it
(twist, bend, any warp) makes the part's distances too long by at most a factor, its Lipschitz
constant, and divides by it: right in sign, and a bound, but rays take as many more steps.
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
    """All within `radius` of the part: exact outside where the part is."""
    return lambda points: part(points) - radius


def shell(part: SDF, thickness: Scalar) -> SDF:
    """A skin about the part's surface, half of its thickness on either side. As exact."""
    return lambda points: part(points).abs() - thickness / 2


def elongated(part: SDF, half_lengths: Vector) -> SDF:
    """Cut at the planes through the origin and drawn apart, straight in between.

    Exact outside if the part is and is symmetric about these planes; a bound inside.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        half = as_vector(half_lengths, points)
        return part(points - torch.minimum(torch.maximum(points, -half), half))

    return distance


def mirrored(part: SDF, axis: int) -> SDF:
    """What is at x ≥ 0 (y or z by `axis`), and its mirror image.

    A bound; exact outside of a part that stays on its side.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        of = list(points.unbind(1))
        of[axis] = of[axis].abs()
        return part(stack_columns(*of))

    return distance


def repeated(
    part: SDF,
    spacing: Sequence[float],
    counts: Sequence[int] | None = None,
    neighbors: bool = False,
) -> SDF:
    """Copies at multiples of `spacing` along each axis; along those where it is 0 there is one.

    Without end, or `counts` of them about the origin. Only the copy of a point's own cell is
    asked: for parts that stay in their cell, and are symmetric about its middle planes, that is
    the nearest one. Of others ask the neighbouring cells too (2 to 8 times the work), which is
    right while none reaches farther than into these. InputError for a count below 1.
    """
    if counts is not None and min(counts) < 1:
        raise InputError(f"{tuple(counts)} copies: give at least 1 along each axis")
    axes = [axis for axis, size in enumerate(spacing) if size > 0]

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        of = list(points.unbind(1))
        places: list[list[Tensor]] = []
        for axis in axes:
            half = 0.0 if counts is None else (counts[axis] - 1) / 2
            number = (of[axis] / spacing[axis] + half).detach()
            first = number.round()
            # The next cell is on the side of its own cell that the point is on.
            second = first + torch.where(number < first, -1.0, 1.0)
            if counts is not None:
                first, second = (n.clamp(0, counts[axis] - 1) for n in (first, second))
            chosen = (first, second) if neighbors else (first,)
            places.append([of[axis] - spacing[axis] * (n - half) for n in chosen])
        best: Tensor | None = None
        for choice in product(*places):
            for axis, place in zip(axes, choice, strict=True):
                of[axis] = place
            found = part(stack_columns(*of))
            best = found if best is None else torch.minimum(best, found)
        assert best is not None
        return best

    return distance


def repeated_around(part: SDF, count: int) -> SDF:
    """So many copies turned about the z axis, the first where the part is, at x > 0.

    For parts that stay within their sector, symmetric about the xz plane.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        sector = 2 * math.pi / count
        turn = (torch.atan2(y, x).detach() / sector).round() * sector
        cosine, sine = turn.cos(), turn.sin()
        return part(stack_columns(cosine * x + sine * y, cosine * y - sine * x, z))

    return distance


def warped(part: SDF, warp: PointMap, lipschitz: float) -> SDF:
    """The part asked at other points; `lipschitz` is how much the map stretches at most."""
    return lambda points: part(warp(points)) / lipschitz


def displaced(part: SDF, height: SDF, lipschitz: float) -> SDF:
    """Raised by a function of the place, whose own Lipschitz constant is `slope`."""
    return lambda points: (part(points) - height(points)) / (1 + lipschitz)


def twisted(part: SDF, turn: float, radius: float) -> SDF:
    """Turned about the z axis by `turn` radians a unit of z; all of the part is in `radius`.

    At distance ρ from the axis the map's largest singular value is (kρ + √(k²ρ² + 4)) / 2,
    k = |turn|: 1-Lipschitz is what is divided by that of `radius`. Points farther away are
    asked at the nearest point within, and are at least as far as from the radius.
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
    """The x axis bent up to a circle of radius 1 / curvature about (0, ·, 1 / curvature).

    All of the part is within `reach` of the xy plane, less than the circle's radius, and it is
    so short that its ends do not meet, |x| < π / curvature. Lengths along x at height z become
    1 − curvature z times as long; straight ways across the bend are shorter than those along
    it, by no more than π/2 within a quarter turn, and beyond it no less than the inner radius.
    InputError if `reach` is not less than the radius.
    """
    radius = 1 / abs(curvature)
    inner = radius - reach
    if inner <= 0:
        raise InputError(
            f"a bend of radius {radius:g} of what reaches {reach:g}: give a smaller curvature"
        )
    lipschitz = math.sqrt(1 + (math.pi / 2 * radius / inner) ** 2)
    side = math.copysign(1.0, curvature)

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        down = radius - side * z
        away = length(x, down)
        # The hole of the bend is asked at its rim.
        ring = away.clamp_min(inner)
        found = part(stack_columns(radius * torch.atan2(x, down), y, side * (radius - ring)))
        near = (found / lipschitz).clamp_max(inner)
        return torch.maximum(near, away - radius - reach)

    return distance


def with_bounding_sphere(part: SDF, center: Vector, radius: Scalar) -> SDF:
    """The same part, asked only by points near a ball that holds all of it: for speed.

    Farther away than the radius again, the distance is that to the ball: a bound, which jumps
    there. Pays for parts that cost much and fill little of the scene.
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

"""More signed distance primitives, all of them exact and 1-Lipschitz; see `sdf` for the terms.

Two-dimensional profiles become prisms with `extruded` and solids of revolution with `revolved`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.implicit.sdf import (
    SDF,
    Scalar,
    Vector,
    as_vector,
    box,
    box_distance,
    length,
    stack_columns,
    torus,
)

Profile = Callable[[Float[Tensor, "points 2"]], Float[Tensor, "points"]]
"""Signed distance in the plane, in scene units, negative inside."""

NEWTON_STEPS = 12
"""Newton steps for the distance to an ellipsoid: enough for float32 with axes up to 1 : 100."""


def disc(radius: Scalar) -> Profile:
    """Disc around the origin."""
    return lambda points: length(*points.unbind(1)) - radius


def polygon(corners: Sequence[tuple[float, float]]) -> Profile:
    """A simple polygon, convex or not, with its corners in either order.

    The distance is that to the nearest edge. A point is inside if the ray from it along +x
    crosses the outline an odd number of times. Raises InputError for fewer than 3 corners.
    """
    if len(corners) < 3:
        raise InputError(f"a polygon of {len(corners)} corners has no inside: give 3 or more")

    def distance(points: Float[Tensor, "points 2"]) -> Float[Tensor, "points"]:
        x, y = points.unbind(1)
        square = torch.full_like(x, torch.inf)
        inside = torch.zeros_like(x, dtype=torch.bool)
        for (ax, ay), (bx, by) in pairwise([*corners, corners[0]]):
            ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
            share = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0, 1)
            away_x, away_y = px - share * ex, py - share * ey
            square = torch.minimum(square, away_x * away_x + away_y * away_y)
            if ay != by:
                left = (px * ey < py * ex) == (ey > 0)
                inside = inside ^ (((y >= ay) != (y >= by)) & left)
        away = square.clamp_min(1e-30).sqrt()
        return torch.where(inside, -away, away)

    return distance


def regular_polygon(sides: int, radius: Scalar) -> Profile:
    """Regular polygon with circumradius `radius` and one corner on the positive x axis.

    Raises InputError for fewer than 3 sides.
    """
    if sides < 3:
        raise InputError(f"a polygon of {sides} sides has no inside: give 3 or more")
    half = math.pi / sides

    def distance(points: Float[Tensor, "points 2"]) -> Float[Tensor, "points"]:
        # Rotate the nearest side so that its midpoint is on the x axis.
        x, y = points.unbind(1)
        nearest = ((torch.atan2(y, x).detach() - half) / (2 * half)).round()
        turn = (2 * nearest + 1) * half
        cosine, sine = turn.cos(), turn.sin()
        across = cosine * x + sine * y - radius * math.cos(half)
        along = (cosine * y - sine * x).abs() - radius * math.sin(half)
        # Inside, no corner is nearer than a side.
        return torch.where(across > 0, length(across, along.clamp_min(0)), across)

    return distance


def extruded(profile: Profile, half_height: Scalar) -> SDF:
    """Prism of a profile along z, with flat ends."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        return box_distance(profile(points[:, :2]), points[:, 2].abs() - half_height)

    return distance


def revolved(profile: Profile, offset: Scalar = 0.0) -> SDF:
    """Solid of revolution: the profile's x becomes the radius, its y becomes z.

    `offset` is the distance from the z axis to the profile's origin. Where a profile extends
    across the axis, it must be symmetric about it, or stay closer to the axis on the far side.
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return profile(stack_columns(length(x, y) - offset, z))

    return distance


def hexagonal_prism(radius: Scalar, half_height: Scalar) -> SDF:
    """Prism along z over a regular hexagon with a corner at x = `radius`."""
    return extruded(regular_polygon(6, radius), half_height)


def triangular_prism(radius: Scalar, half_height: Scalar) -> SDF:
    """Prism along z over an equilateral triangle with a corner at x = `radius`."""
    return extruded(regular_polygon(3, radius), half_height)


def capped_cone(low_radius: float, high_radius: float, half_height: float) -> SDF:
    """Truncated cone around z with flat ends; one of the two radii may be 0."""
    low, high = max(low_radius, 0.0), max(high_radius, 0.0)
    outline = [(-low, -half_height), (low, -half_height), (high, half_height)]
    outline += [(-high, half_height)]
    return revolved(polygon([at for k, at in enumerate(outline) if at != outline[k - 1]]))


def cone(radius: float, height: float) -> SDF:
    """Cone around z with its base at z = 0 and its tip at z = `height`."""
    return revolved(polygon([(-radius, 0.0), (radius, 0.0), (0.0, height)]))


def rounded_box(half_sizes: Vector, radius: Scalar) -> SDF:
    """Box from −half_sizes to half_sizes, with edges rounded by at most the least half size."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        return box(as_vector(half_sizes, points) - radius)(points) - radius

    return distance


def octahedron(radius: Scalar) -> SDF:
    """The octahedron |x| + |y| + |z| ≤ radius.

    The nearest surface point to a point outside is its projection onto a simplex: subtract the
    same τ from all coordinates and clamp at 0 (Duchi et al., ICML 2008).
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.abs().unbind(1)
        most, least = (
            torch.maximum(torch.maximum(x, y), z),
            torch.minimum(torch.minimum(x, y), z),
        )
        total = x + y + z
        shift = torch.maximum(most - radius, (total - least - radius) / 2)
        shift = torch.maximum(shift, (total - radius) / 3)
        away = length(*(torch.minimum(column, shift) for column in (x, y, z)))
        # Inside, the nearest point is on a face's plane: all coordinates move alike.
        return torch.where(shift < 0, 3**0.5 * shift, away)

    return distance


def link(half_length: Scalar, major: Scalar, minor: Scalar) -> SDF:
    """Chain link: a torus in the xy plane, stretched along y by twice the half length."""
    ring = torus(major, minor)

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        x, y, z = points.unbind(1)
        return ring(stack_columns(x, (y.abs() - half_length).clamp_min(0), z))

    return distance


def ellipsoid(radii: Vector) -> SDF:
    """Ellipsoid with the given half axes along x, y and z.

    The nearest surface point to p is r² p / (t + r²), where t is the root of F(t) = |r p / (t +
    r²)|² − 1. F is convex and decreasing, so Newton's method converges from the left (Eberly,
    "Distance from a Point to an Ellipse, an Ellipsoid, or a Hyperellipsoid", 2013).
    """

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        axes = as_vector(radii, points).unbind()
        # On a plane of symmetry two points are equally near: the clamp picks one of them.
        folded = [
            torch.maximum(p.abs(), 1e-5 * r.detach())
            for p, r in zip(points.unbind(1), axes, strict=True)
        ]
        with torch.no_grad():
            t = torch.stack([r * p - r * r for p, r in zip(folded, axes, strict=True)]).amax(0)
            for _ in range(NEWTON_STEPS):
                t = _newton(t, folded, axes)
        # Two more steps with gradients give the root's first and second derivatives.
        for _ in range(2 if torch.is_grad_enabled() else 0):
            t = _newton(t, folded, axes)
        # Distance to the tangent plane at the nearest point, by the support function.
        normal = [p / (t + r * r) for p, r in zip(folded, axes, strict=True)]
        size = length(*normal)
        height = length(*(r * n for n, r in zip(normal, axes, strict=True)))
        above = sum((p * n for p, n in zip(folded, normal, strict=True)), -height)
        return above / size

    return distance


def _newton(
    t: Float[Tensor, "points"],
    folded: Sequence[Float[Tensor, "points"]],
    axes: Sequence[Float[Tensor, ""]],
) -> Float[Tensor, "points"]:
    """One Newton step toward the root of F."""
    value, slope = torch.full_like(t, -1.0), torch.zeros_like(t)
    for p, r in zip(folded, axes, strict=True):
        inverse = 1 / (t + r * r)
        share = (r * p * inverse).square()
        value, slope = value + share, slope + share * inverse
    return t + value / (2 * slope)

"""Signed distances of solids (negative inside, 1-Lipschitz) and noise for their colors.

All in scene units; compiled for single points, because the tracer queries one at a time.
"""

import math
from typing import no_type_check

from unrender.data.builtin.source import part


@part
@no_type_check
def box(x, y, z, half_x, half_y, half_z, radius):
    """A box about the origin with its edges rounded by `radius`."""
    a = abs(x) - half_x + radius
    b = abs(y) - half_y + radius
    c = abs(z) - half_z + radius
    outside = math.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2 + max(c, 0.0) ** 2)
    return outside + min(max(a, max(b, c)), 0.0) - radius


@part
@no_type_check
def cylinder(x, y, z, radius, half_z, rounding):
    """A cylinder about the z axis with its edges rounded by `rounding`."""
    a = math.sqrt(x * x + y * y) - radius + rounding
    b = abs(z) - half_z + rounding
    return math.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2) + min(max(a, b), 0.0) - rounding


@part
@no_type_check
def cone(x, y, z, ax, ay, az, bx, by, bz, radius_a, radius_b):
    """A round cone from a to b, whose radius changes linearly from `radius_a` to `radius_b`.

    A lower bound of the distance, exact for equal radii.
    """
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = x - ax, y - ay, z - az
    square = ux * ux + uy * uy + uz * uz
    t = min(max((ux * vx + uy * vy + uz * vz) / square, 0.0), 1.0)
    distance = math.sqrt((vx - t * ux) ** 2 + (vy - t * uy) ** 2 + (vz - t * uz) ** 2)
    slope = (radius_b - radius_a) ** 2 / square
    return (distance - radius_a - t * (radius_b - radius_a)) / math.sqrt(1 + slope)


@part
@no_type_check
def smooth_min(a, b, width):
    """The union of two solids with a fillet where they meet."""
    blend = max(width - abs(a - b), 0.0) / width
    return min(a, b) - blend * blend * width * 0.25


@part
@no_type_check
def lattice(i, j, k):
    """A fixed pseudo-random number in [0, 1) for each point of the integer lattice."""
    h = (i * 374761393 + j * 668265263 + k * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 13)) & 0xFFFFFF) / 16777216.0


@part
@no_type_check
def noise(x, y, z):
    """Smooth noise in [0, 1] with features of unit size: the lattice's values interpolated."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - i, y - j, z - k
    i, j, k = int(i), int(j), int(k)
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for corner in range(8):
        a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
        total += weight * lattice(i + a, j + b, k + c)
    return total


@part
@no_type_check
def ramp(low, high, value):
    """0 below `low`, 1 above `high`, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@part
@no_type_check
def blend(a, b, share):
    """Linear interpolation from color `a` (share 0) to color `b` (share 1)."""
    return (
        a[0] + share * (b[0] - a[0]),
        a[1] + share * (b[1] - a[1]),
        a[2] + share * (b[2] - a[2]),
    )

"""Path tracing of the built-in scenes: `light="path"` (Kajiya 1986).

Key light, fill light and sky are those of tracer.py, but the two lights are discs with soft
shadows, and paths that leave the scene receive the sky's radiance. Surfaces are diffuse except
for the highlight towards the camera. Random numbers depend on the pixel and the camera position
only (views.py), so that a view is always the same image.
"""

import math
from typing import no_type_check

import numpy as np

from unrender.data.builtin.source import part
from unrender.data.builtin.tracer import (
    FILL,
    FILL_LIGHT,
    GROUND,
    KEY,
    KEY_LIGHT,
    SKY,
    material,
    normal,
    trace,
)

BOUNCES = 4
"""Maximum number of surface points on a light path."""
KEY_COSINE, FILL_COSINE = math.cos(math.radians(4)), math.cos(math.radians(25))
"""Cosines of the angular radii of the two light discs."""
FILL_SHARE = 0.25
"""Probability of sampling the fill light rather than the key light."""
RAY_OFFSET = 0.004
"""Offset of ray origins from the surface, which the rays would otherwise hit at once."""
MASK = 0xFFFFFFFF
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
WEYL_STEPS = np.sqrt(np.array(PRIMES)) % 1.0
"""Step of each dimension of a path's random numbers, five per bounce."""


@part
@no_type_check
def hash_of(h):
    """A 32-bit hash (the finalizer of MurmurHash3)."""
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & MASK
    return h ^ (h >> 16)


@part
@no_type_check
def _uniform(seed, dimension, sample):
    """Quasi-random number in [0, 1): a multiple of the dimension's step plus a random offset.

    The multiples are equidistributed in the cube of all dimensions, because no integer
    combination of steps is an integer (Weyl, 1916); the offset, a Cranley-Patterson rotation
    (1976), makes each pixel's mean unbiased.
    """
    start = hash_of((seed + dimension * 0x9E3779B1) & MASK) / 4294967296.0
    return (start + sample * WEYL_STEPS[dimension]) % 1.0


@part
@no_type_check
def direction_around(axis, z, turn):
    """The direction with cosine `z` to a unit axis and azimuth `turn` about it."""
    ax, ay, az = axis
    # Duff et al., "Building an Orthonormal Basis, Revisited" (2017).
    sign = -1.0 if az < 0 else 1.0
    a = -1 / (sign + az)
    b = ax * ay * a
    radius = math.sqrt(max(1 - z * z, 0.0))
    c, s = radius * math.cos(turn), radius * math.sin(turn)
    return (
        c * (1 + sign * ax * ax * a) + s * b + z * ax,
        c * sign * b + s * (sign + ay * ay * a) + z * ay,
        -c * sign * ax - s * ay + z * az,
    )


@part
@no_type_check
def _sky_radiance(dz):
    """The sky's radiance by the z component of the direction."""
    up = 0.5 + 0.5 * dz
    return (
        GROUND[0] + up * (SKY[0] - GROUND[0]),
        GROUND[1] + up * (SKY[1] - GROUND[1]),
        GROUND[2] + up * (SKY[2] - GROUND[2]),
    )


@part
@no_type_check
def trace_path(scene, grid, x, y, z, nx, ny, nz, dx, dy, dz, seed, sample):
    """Linear RGB of one light path from a surface point viewed along (dx, dy, dz)."""
    total_r = total_g = total_b = 0.0
    carry_r = carry_g = carry_b = 1.0
    highlight = 0.0
    for bounce in range(BOUNCES):
        red, green, blue, strength, exponent = material(scene, x, y, z, nx, ny, nz)
        carry_r, carry_g, carry_b = carry_r * red, carry_g * green, carry_b * blue
        sx, sy, sz = x + RAY_OFFSET * nx, y + RAY_OFFSET * ny, z + RAY_OFFSET * nz
        d = 5 * bounce
        fill = _uniform(seed, d, sample) < FILL_SHARE
        rim = FILL_COSINE if fill else KEY_COSINE
        cosine = 1 - _uniform(seed, d + 1, sample) * (1 - rim)
        turn = 2 * math.pi * _uniform(seed, d + 2, sample)
        lx, ly, lz = direction_around(FILL if fill else KEY, cosine, turn)
        facing = nx * lx + ny * ly + nz * lz
        if facing > 0 and trace(scene, grid, sx, sy, sz, lx, ly, lz) == 0:
            light = FILL_LIGHT / FILL_SHARE if fill else KEY_LIGHT / (1 - FILL_SHARE)
            total_r += carry_r * light * facing
            total_g += carry_g * light * facing
            total_b += carry_b * light * facing
            if bounce == 0 and not fill:
                hx, hy, hz = lx - dx, ly - dy, lz - dz
                length = math.sqrt(hx * hx + hy * hy + hz * hz)
                half_cosine = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
                shine = strength * min(1.0, 8 * facing) * half_cosine**exponent
                highlight = shine / (1 - FILL_SHARE)
        # Cosine-weighted sampling cancels the cosine of the reflection integral.
        up = math.sqrt(1 - _uniform(seed, d + 3, sample))
        turn = 2 * math.pi * _uniform(seed, d + 4, sample)
        dx, dy, dz = direction_around((nx, ny, nz), up, turn)
        t = trace(scene, grid, sx, sy, sz, dx, dy, dz)
        if t == 0:
            sky_r, sky_g, sky_b = _sky_radiance(dz)
            total_r += carry_r * sky_r
            total_g += carry_g * sky_g
            total_b += carry_b * sky_b
            break
        x, y, z = sx + t * dx, sy + t * dy, sz + t * dz
        nx, ny, nz = normal(scene, x, y, z)
    return total_r + highlight, total_g + highlight, total_b + highlight

"""The built-in scenes under light that is followed from surface to surface: `light="path"`.

The same sun, fill light and sky as in tracer.py. But the first two are discs, whose shadows
have soft edges, the sky is what a path meets that leaves the scene, and light that one surface
sends on colours the next (Kajiya 1986). Surfaces are matte but for the highlight toward the
camera. Every pixel has random numbers of its own, by its place and the camera's: the same view
is always the same image.
"""

import math
from typing import no_type_check

import numpy as np

from unrender.data.builtin.source import Function, part, version
from unrender.data.builtin.tracer import (
    FILL,
    FILL_LIGHT,
    GROUND,
    KEY,
    KEY_LIGHT,
    SKY,
    direction,
    display,
    material,
    normal,
    trace,
)
from unrender.kernels.runtime.jit import jit

BOUNCES = 4
"""Surfaces that light may meet on its way to the camera."""
KEY_COSINE, FILL_COSINE = math.cos(math.radians(4)), math.cos(math.radians(25))
"""Of the angle from the middle of each light's disc to its rim."""
FILL_SHARE = 0.25
"""Of the rays to a light, how many go to the fill light."""
OFF = 0.004
"""How far from a surface rays start, which they would otherwise find at once."""
MASK = 0xFFFFFFFF
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
STEPS = np.sqrt(np.array(PRIMES)) % 1.0
"""One for each random number of a path: five a bounce."""


@part
@no_type_check
def _mixed(h):
    """32 bits that look like chance (the finalizer of MurmurHash3)."""
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & MASK
    return h ^ (h >> 16)


@part
@no_type_check
def _uniform(seed, dimension, sample):
    """The sample's number in [0, 1): multiples of the dimension's step, begun at random.

    They fill the cube of all dimensions evenly, since no sum of steps is whole (Weyl, 1916);
    a start of its own makes each pixel's mean right (Cranley and Patterson, 1976).
    """
    start = _mixed((seed + dimension * 0x9E3779B1) & MASK) / 4294967296.0
    return (start + sample * STEPS[dimension]) % 1.0


@part
@no_type_check
def _around(axis, z, turn):
    """The direction at that cosine from a unit axis, turned about it."""
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
def _sky(dz):
    """The sky's radiance by height."""
    up = 0.5 + 0.5 * dz
    return (
        GROUND[0] + up * (SKY[0] - GROUND[0]),
        GROUND[1] + up * (SKY[1] - GROUND[1]),
        GROUND[2] + up * (SKY[2] - GROUND[2]),
    )


@part
@no_type_check
def follow(scene, grid, x, y, z, nx, ny, nz, dx, dy, dz, seed, sample):
    """Linear RGB that one path finds from a surface point, seen along (dx, dy, dz)."""
    total_r = total_g = total_b = 0.0
    carry_r = carry_g = carry_b = 1.0
    highlight = 0.0
    for bounce in range(BOUNCES):
        red, green, blue, strength, exponent = material(scene, x, y, z, nx, ny, nz)
        carry_r, carry_g, carry_b = carry_r * red, carry_g * green, carry_b * blue
        sx, sy, sz = x + OFF * nx, y + OFF * ny, z + OFF * nz
        d = 5 * bounce
        fill = _uniform(seed, d, sample) < FILL_SHARE
        rim = FILL_COSINE if fill else KEY_COSINE
        cosine = 1 - _uniform(seed, d + 1, sample) * (1 - rim)
        turn = 2 * math.pi * _uniform(seed, d + 2, sample)
        lx, ly, lz = _around(FILL if fill else KEY, cosine, turn)
        facing = nx * lx + ny * ly + nz * lz
        if facing > 0 and trace(scene, grid, sx, sy, sz, lx, ly, lz) == 0:
            light = FILL_LIGHT / FILL_SHARE if fill else KEY_LIGHT / (1 - FILL_SHARE)
            total_r += carry_r * light * facing
            total_g += carry_g * light * facing
            total_b += carry_b * light * facing
            if bounce == 0 and not fill:
                hx, hy, hz = lx - dx, ly - dy, lz - dz
                length = math.sqrt(hx * hx + hy * hy + hz * hz)
                glint = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
                shine = strength * min(1.0, 8 * facing) * glint**exponent
                highlight = shine / (1 - FILL_SHARE)
        # On by the cosine: then what comes from there counts as it is.
        up = math.sqrt(1 - _uniform(seed, d + 3, sample))
        turn = 2 * math.pi * _uniform(seed, d + 4, sample)
        dx, dy, dz = _around((nx, ny, nz), up, turn)
        t = trace(scene, grid, sx, sy, sz, dx, dy, dz)
        if t == 0:
            sky_r, sky_g, sky_b = _sky(dz)
            total_r += carry_r * sky_r
            total_g += carry_g * sky_g
            total_b += carry_b * sky_b
            break
        x, y, z = sx + t * dx, sy + t * dy, sz + t * dz
        nx, ny, nz = normal(scene, x, y, z)
    return total_r + highlight, total_g + highlight, total_b + highlight


def _outermost(version: str) -> Function:
    """As tracer.py's."""

    @jit
    @no_type_check
    def light_view(scene, grid, pose, intrinsics, supersample, paths, rgba):
        """Fill one view's RGBA: `paths` for each of supersample² rays of a pixel.

        What was there before is written over where the scene is seen.
        """
        assert version
        height, width = rgba.shape[:2]
        ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
        eye = math.floor(1e4 * (ox + 31 * oy + 977 * oz)) & MASK
        share = 1 / (supersample * supersample)
        for row in range(height):
            for column in range(width):
                seed = _mixed((eye + row * 0x9E3779B1 + column * 0x85EBCA6B) & MASK)
                red = green = blue = 0.0
                hits = 0
                for ray in range(supersample * supersample):
                    px = column + (ray % supersample + 0.5) / supersample
                    py = row + (ray // supersample + 0.5) / supersample
                    dx, dy, dz = direction(pose, intrinsics, px, py)
                    t = trace(scene, grid, ox, oy, oz, dx, dy, dz)
                    if t == 0:
                        continue
                    hits += 1
                    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                    nx, ny, nz = normal(scene, x, y, z)
                    for k in range(paths):
                        r, g, b = follow(
                            scene, grid, x, y, z, nx, ny, nz, dx, dy, dz, seed, ray * paths + k
                        )
                        red, green, blue = red + r, green + g, blue + b
                # The mean of the light is shown, not the mean of what single paths would show.
                if hits > 0:
                    rgba[row, column, 0] = hits * share * display(red / (hits * paths))
                    rgba[row, column, 1] = hits * share * display(green / (hits * paths))
                    rgba[row, column, 2] = hits * share * display(blue / (hits * paths))
                    rgba[row, column, 3] = hits * share

    return light_view


light_view = _outermost(version())

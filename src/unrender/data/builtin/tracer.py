"""Sphere tracing and direct lighting of the built-in scenes.

In sphere tracing, a ray advances by the distance to the nearest surface (Hart 1996). Far from
surfaces, a coarse grid of distances replaces the exact distance, which costs tens of times more
and would hardly change the step.
"""

import math
from typing import no_type_check

from unrender.data.builtin import bricks, chair, hotdog
from unrender.data.builtin.source import Function, part, version
from unrender.kernels.runtime.jit import jit

BALL = 1.4
"""The scenes lie inside a ball of this radius about the origin."""
GRID = 96
"""Cells of the distance grid along each axis of the ball's cube."""
CELL = 2 * BALL / GRID
HALF_DIAGONAL = 0.5 * math.sqrt(3.0) * CELL

HIT = 1e-4
"""A ray hits the surface when the distance is below this."""
MAX_STEPS = 300
NORMAL_STEP = 2e-4

# Unit vectors to the lights: the key light casts shadows, the fill light does not.
KEY = (-0.4581, -0.5498, 0.6985)
FILL = (0.7682, 0.3841, 0.5121)
KEY_LIGHT = 1.75
FILL_LIGHT = 0.22
SKY = (0.36, 0.39, 0.44)
GROUND = (0.20, 0.17, 0.15)
SHADOW_SHARPNESS = 14.0
"""Inverse angular size of the key light: shadow begins where the ray's clearance, times this,
is less than the distance traveled."""


@part
@no_type_check
def distance(scene, x, y, z):
    """Signed distance to the surface; outside it may be a lower bound."""
    if scene == 0:
        return bricks.distance(x, y, z)
    if scene == 1:
        return chair.distance(x, y, z)
    return hotdog.distance(x, y, z)


@part
@no_type_check
def material(scene, x, y, z, nx, ny, nz):
    if scene == 0:
        return bricks.material(x, y, z, nx, ny, nz)
    if scene == 1:
        return chair.material(x, y, z, nx, ny, nz)
    return hotdog.material(x, y, z, nx, ny, nz)


@part
@no_type_check
def normal(scene, x, y, z):
    """Normalized gradient of the distance, from four points of a tetrahedron."""
    h = NORMAL_STEP
    a = distance(scene, x + h, y - h, z - h)
    b = distance(scene, x - h, y - h, z + h)
    c = distance(scene, x - h, y + h, z - h)
    d = distance(scene, x + h, y + h, z + h)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx / length, ny / length, nz / length


@part
@no_type_check
def _safe_step(scene, grid, x, y, z):
    """A safe step along a ray: from the grid far from surfaces, else the exact distance."""
    i = min(max(int((x + BALL) / CELL), 0), GRID - 1)
    j = min(max(int((y + BALL) / CELL), 0), GRID - 1)
    k = min(max(int((z + BALL) / CELL), 0), GRID - 1)
    coarse = grid[i, j, k] - HALF_DIAGONAL
    return coarse if coarse > CELL else distance(scene, x, y, z)


@part
@no_type_check
def _ball_interval(ox, oy, oz, dx, dy, dz):
    """Distances where a ray enters and leaves the ball; the exit is negative if it misses."""
    b = ox * dx + oy * dy + oz * dz
    root = b * b - (ox * ox + oy * oy + oz * oz - BALL * BALL)
    if root <= 0:
        return 0.0, -1.0
    root = math.sqrt(root)
    return max(-b - root, 0.0), -b + root


@part
@no_type_check
def trace(scene, grid, ox, oy, oz, dx, dy, dz):
    """Distance along the ray to the surface, or 0 if it hits none."""
    t, end = _ball_interval(ox, oy, oz, dx, dy, dz)
    for _ in range(MAX_STEPS):
        if t > end:
            return 0.0
        step = _safe_step(scene, grid, ox + t * dx, oy + t * dy, oz + t * dz)
        if step < HIT:
            return t
        t += step
    return 0.0


@part
@no_type_check
def _key_visibility(scene, grid, x, y, z):
    """Visible share of the key light; below 1 if the ray to it passes close to a surface."""
    t, share = 0.02, 1.0
    dx, dy, dz = KEY
    for _ in range(80):
        px, py, pz = x + t * dx, y + t * dy, z + t * dz
        if px * px + py * py + pz * pz > BALL * BALL:
            break
        near = _safe_step(scene, grid, px, py, pz)
        share = min(share, SHADOW_SHARPNESS * near / t)
        if share < 0.005:
            return 0.0
        t += max(near, 0.006)
    return share * share * (3 - 2 * share)


@part
@no_type_check
def _ambient_visibility(scene, x, y, z, nx, ny, nz):
    """Ambient occlusion: the share of the sky not blocked by surfaces near along the normal."""
    blocked = 0.0
    for i in range(3):
        away = 0.03 + 0.09 * i
        near = distance(scene, x + away * nx, y + away * ny, z + away * nz)
        blocked += max(away - near, 0.0) / away * (0.5, 0.3, 0.2)[i]
    return 1 - 0.85 * min(blocked, 1.0)


@part
@no_type_check
def display(value):
    """Linear light to sRGB, with highlights compressed to avoid clipping."""
    value = max(value, 0.0)
    value = value * (1 + value / 6.0) / (1 + value) * 1.25
    value = min(value, 1.0)
    if value <= 0.0031308:
        return 12.92 * value
    return 1.055 * value ** (1 / 2.4) - 0.055


@part
@no_type_check
def shade(scene, grid, x, y, z, nx, ny, nz, dx, dy, dz):
    """Display-referred RGB of a surface point viewed along (dx, dy, dz) (Blinn 1977)."""
    red, green, blue, strength, exponent = material(scene, x, y, z, nx, ny, nz)
    # Shadow rays start off the surface, which they would otherwise hit at once.
    sx, sy, sz = x + 0.004 * nx, y + 0.004 * ny, z + 0.004 * nz
    facing = nx * KEY[0] + ny * KEY[1] + nz * KEY[2]
    key = 0.0
    highlight = 0.0
    if facing > 0:
        visible = _key_visibility(scene, grid, sx, sy, sz)
        key = KEY_LIGHT * facing * visible
        hx, hy, hz = KEY[0] - dx, KEY[1] - dy, KEY[2] - dz
        length = math.sqrt(hx * hx + hy * hy + hz * hz)
        cosine = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
        highlight = strength * visible * min(1.0, 8 * facing) * cosine**exponent
    key += FILL_LIGHT * max(nx * FILL[0] + ny * FILL[1] + nz * FILL[2], 0.0)
    ambient = _ambient_visibility(scene, x, y, z, nx, ny, nz)
    up = 0.5 + 0.5 * nz
    return (
        display(red * (key + ambient * (GROUND[0] + up * (SKY[0] - GROUND[0]))) + highlight),
        display(green * (key + ambient * (GROUND[1] + up * (SKY[1] - GROUND[1]))) + highlight),
        display(blue * (key + ambient * (GROUND[2] + up * (SKY[2] - GROUND[2]))) + highlight),
    )


def _outermost(version: str) -> Function:
    """`fill_grid`; naming `version` makes it part of its cache key."""

    @jit
    @no_type_check
    def fill_grid(scene, grid, start, stop):
        """Distances at cell centers, for slices [start, stop) of x."""
        assert version
        for i in range(start, stop):
            x = (i + 0.5) * CELL - BALL
            for j in range(GRID):
                y = (j + 0.5) * CELL - BALL
                for k in range(GRID):
                    grid[i, j, k] = distance(scene, x, y, (k + 0.5) * CELL - BALL)

    return fill_grid


fill_grid = _outermost(version())

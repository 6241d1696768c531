"""Light maps and views of scenes with metal, glass and gratings: see specular.py."""

import math
from typing import no_type_check

import numpy as np

from unrender.data.builtin.path_light import MASK, direction_around, hash_of
from unrender.data.builtin.source import Function, part, version
from unrender.data.builtin.specular import LAMP, MATTE, OFFSET, STACK, nearest, radiance
from unrender.data.builtin.tracer import display
from unrender.data.builtin.views import direction
from unrender.kernels.runtime.jit import jit

LAMP_POINTS = 8
"""Points of each lamp along each side, for the direct light of matte surfaces."""
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are equidistributed (Weyl, 1916)."""
PLASTIC = 0.7548776662466927
"""Multiples of it plus multiples of its square are so in each row, column and block."""


@part
@no_type_check
def _direct(scene, i, x, y, z, nx, ny, nz, start):
    """Irradiance over π at a point, from points of lamp `i`, on a shifted grid."""
    quads = scene.quads
    side_u = 1 / (quads[i, 3] ** 2 + quads[i, 4] ** 2 + quads[i, 5] ** 2)
    side_v = 1 / (quads[i, 6] ** 2 + quads[i, 7] ** 2 + quads[i, 8] ** 2)
    area = math.sqrt(side_u * side_v)
    total = 0.0
    for k in range(LAMP_POINTS * LAMP_POINTS):
        u = (k % LAMP_POINTS + (start + k * GOLDEN) % 1.0) / LAMP_POINTS * side_u
        v = (k // LAMP_POINTS + (start + k * GOLDEN * GOLDEN) % 1.0) / LAMP_POINTS * side_v
        dx = quads[i, 0] + u * quads[i, 3] + v * quads[i, 6] - x
        dy = quads[i, 1] + u * quads[i, 4] + v * quads[i, 7] - y
        dz = quads[i, 2] + u * quads[i, 5] + v * quads[i, 8] - z
        square = dx * dx + dy * dy + dz * dz
        length = math.sqrt(square)
        dx, dy, dz = dx / length, dy / length, dz / length
        here = dx * nx + dy * ny + dz * nz
        there = -(dx * quads[i, 9] + dy * quads[i, 10] + dz * quads[i, 11])
        if here <= 0 or there <= 0:
            continue
        _, which = nearest(quads, scene.groups, scene.balls, x, y, z, dx, dy, dz, length - 1e-4)
        if which < 0:
            total += here * there / square
    return total * area / (LAMP_POINTS * LAMP_POINTS * math.pi)


@part
@no_type_check
def _pixel(scene, stack, pose, intrinsics, row, column, supersample, seed):
    """Mean radiance of a pixel."""
    start = hash_of((seed + row * 0x9E3779B1 + column * 0x85EBCA6B) & MASK) / 4294967296.0
    red = green = blue = 0.0
    for sample in range(supersample * supersample):
        i, j = sample % supersample, sample // supersample
        px, py = column + (i + 0.5) / supersample, row + (j + 0.5) / supersample
        dx, dy, dz = direction(pose, intrinsics, px, py)
        uniform = (start + i * PLASTIC + j * PLASTIC * PLASTIC) % 1.0
        r, g, b = radiance(
            scene, stack, pose[0, 3], pose[1, 3], pose[2, 3], dx, dy, dz, uniform, True
        )
        red, green, blue = red + r, green + g, blue + b
    share = 1 / (supersample * supersample)
    return red * share, green * share, blue * share


def _gather(version: str) -> Function:
    """`gather`; naming `version` makes it part of its cache key."""

    @jit
    @no_type_check
    def gather(scene, quad, rows, samples, seed, direct, light):
        """Irradiance over π at the texels of some rows of a matte rectangle's light map.

        With `samples` 0 from lamps directly; otherwise `direct` plus what arrives from all
        else, in so many cosine-weighted directions.
        """
        assert version
        stack = np.empty((STACK, 10))
        quads = scene.quads
        nx, ny, nz = quads[quad, 9], quads[quad, 10], quads[quad, 11]
        start, height, width = scene.maps[quad, 3], scene.maps[quad, 4], scene.maps[quad, 5]
        side_u = 1 / (quads[quad, 3] ** 2 + quads[quad, 4] ** 2 + quads[quad, 5] ** 2)
        side_v = 1 / (quads[quad, 6] ** 2 + quads[quad, 7] ** 2 + quads[quad, 8] ** 2)
        for row in range(rows[0], rows[1]):
            for column in range(width):
                u, v = (column + 0.5) / width * side_u, (row + 0.5) / height * side_v
                x = quads[quad, 0] + u * quads[quad, 3] + v * quads[quad, 6] + OFFSET * nx
                y = quads[quad, 1] + u * quads[quad, 4] + v * quads[quad, 7] + OFFSET * ny
                z = quads[quad, 2] + u * quads[quad, 5] + v * quads[quad, 8] + OFFSET * nz
                at = start + row * width + column
                first = hash_of((seed + at * 0x9E3779B1) & MASK) / 4294967296.0
                second = hash_of((seed + at * 0x85EBCA6B + 77) & MASK) / 4294967296.0
                red = green = blue = 0.0
                for k in range(samples):
                    up = math.sqrt(1 - ((k + first) / samples) % 1.0)
                    turn = 2 * math.pi * ((second + k * GOLDEN) % 1.0)
                    dx, dy, dz = direction_around((nx, ny, nz), up, turn)
                    uniform = (first + second + k * GOLDEN * GOLDEN) % 1.0
                    r, g, b = radiance(scene, stack, x, y, z, dx, dy, dz, uniform, False)
                    red, green, blue = red + r, green + g, blue + b
                if samples == 0:
                    for i in range(quads.shape[0]):
                        if scene.kinds[i] == LAMP:
                            seen = _direct(scene, i, x, y, z, nx, ny, nz, first)
                            red += seen * scene.colors[i, 0]
                            green += seen * scene.colors[i, 1]
                            blue += seen * scene.colors[i, 2]
                else:
                    red = direct[at, 0] + red / samples
                    green = direct[at, 1] + green / samples
                    blue = direct[at, 2] + blue / samples
                light[at, 0], light[at, 1], light[at, 2] = red, green, blue

    return gather


def _render(version: str) -> Function:
    """`render_view`; naming `version` makes it part of its cache key."""

    @jit
    @no_type_check
    def render_view(
        scene, pose, intrinsics, supersample, seed, linear, color, depth, normals, surface
    ):
        """Fill one view's arrays: color averaged over each pixel, the others at its center.

        `surface` is the index of the rectangle, or the number of rectangles plus that of the
        ball. `linear`: leave the radiance as it is, rather than for display.
        """
        assert version
        stack = np.empty((STACK, 10))
        height, width = depth.shape
        quads, balls = scene.quads, scene.balls
        ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
        for row in range(height):
            for column in range(width):
                dx, dy, dz = direction(pose, intrinsics, column + 0.5, row + 0.5)
                t, i = nearest(quads, scene.groups, balls, ox, oy, oz, dx, dy, dz, 1e9)
                surface[row, column] = i
                if i >= 0:
                    depth[row, column] = t
                if 0 <= i < quads.shape[0]:
                    for k in range(3):
                        normals[row, column, k] = quads[i, 9 + k]
                elif i >= 0:
                    ball = i - quads.shape[0]
                    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                    normals[row, column, 0] = (x - balls[ball, 0]) / balls[ball, 3]
                    normals[row, column, 1] = (y - balls[ball, 1]) / balls[ball, 3]
                    normals[row, column, 2] = (z - balls[ball, 2]) / balls[ball, 3]
                if supersample > 0:
                    matte = 0 <= i < quads.shape[0] and scene.kinds[i] == MATTE
                    side = supersample if matte else 2 * supersample
                    r, g, b = _pixel(scene, stack, pose, intrinsics, row, column, side, seed)
                    color[row, column, 0] = r if linear else display(r)
                    color[row, column, 1] = g if linear else display(g)
                    color[row, column, 2] = b if linear else display(b)

    return render_view


gather = _gather(version())
render_view = _render(version())

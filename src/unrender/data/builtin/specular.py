"""Path tracing of scenes with metal, glass and gratings, almost without noise.

The light that a matte surface reflects does not depend on the view. It is computed once, by
path tracing at the texels of a light map (`gather`). A path from a camera then ends at the
first matte surface or lamp. Before that, mirrors, glass and gratings scatter it into a few
directions, all of which are followed: reflection and refraction, and all orders of diffraction
at stratified wavelengths. Materials are those of rendering/light/bsdf.py; tests compare with
its path tracer.

Shapes are rectangles and balls. Paths have at most `MAX_DEPTH` segments between matte surfaces,
and as many matte surfaces as there were calls of `gather`.
"""

import math
from typing import NamedTuple, no_type_check

import numpy as np

from unrender.data.builtin.path_light import MASK, direction_around, hash_of
from unrender.data.builtin.source import Function, part, version
from unrender.data.builtin.tracer import display
from unrender.data.builtin.views import direction
from unrender.files.arrays import Array
from unrender.kernels.runtime.jit import jit
from unrender.rendering.light.grating import LONGEST, SHORTEST

MATTE, LAMP, MIRROR, GLASS, GRATING = range(5)
"""Kinds of surfaces."""
MAX_DEPTH = 8
"""Most segments of a path."""
LEAST = 2e-3
"""Branches of a path of which less than this share of the light arrives are neglected."""
WAVELENGTHS = 4
"""Wavelengths per order of a grating, for each ray from the camera."""
OFFSET = 1e-6
"""Distance of ray origins from the surface."""
LAMP_POINTS = 8
"""Points of each lamp along each side, for the direct light of matte surfaces."""
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are equidistributed (Weyl, 1916)."""
PLASTIC = 0.7548776662466927
"""Multiples of it plus multiples of its square are so in each row, column and block."""
STACK = 128
"""Most branches of a path that wait to be followed."""


class Surfaces(NamedTuple):
    """A scene's surfaces as arrays; colors and radiances are linear RGB."""

    quads: Array
    """Of each rectangle: a corner, its two sides over their squared lengths, its normal."""
    groups: Array
    """Center and squared radius of a ball around some of the rectangles, the first of them, and
    the one after the last."""
    kinds: Array
    maps: Array
    """Of each rectangle: start, rows and columns of its albedo map, and of its light map."""
    colors: Array
    """Of each rectangle: reflectance of a mirror or grating, radiance of a lamp; and how often
    its albedo map is repeated along both sides. Only the side of the normal is not black."""
    balls: Array
    """Center, radius, color, and index of refraction, 0 for mirrors."""
    albedo: Array
    """Texels of all albedo maps."""
    light: Array
    """Texels of all light maps: irradiance over π."""
    cells: Array
    """Rows of cells on gratings, each with an index into `gratings`."""
    gratings: Array
    """Direction (along the first and second side) and period in nanometers."""
    efficiency: Array
    """Share of the light in orders 0, ±1 and ±2."""
    spectrum: Array
    """`rgb_response` at equidistant visible wavelengths."""


@part
@no_type_check
def _nearest(scene, ox, oy, oz, dx, dy, dz, farthest):
    """Distance to the nearest surface before `farthest`, or that, and the surface's index.

    Rectangles come first, then balls; the index is -1 if nothing is hit.
    """
    best, which = farthest, -1
    quads = scene.quads
    groups = scene.groups
    for group in range(groups.shape[0]):
        x, y, z = ox - groups[group, 0], oy - groups[group, 1], oz - groups[group, 2]
        b = x * dx + y * dy + z * dz
        away = x * x + y * y + z * z
        if away > groups[group, 3] and (b >= 0 or away - b * b > groups[group, 3]):
            continue
        for i in range(int(groups[group, 4]), int(groups[group, 5])):
            slope = dx * quads[i, 9] + dy * quads[i, 10] + dz * quads[i, 11]
            if slope == 0.0:
                continue
            x, y, z = quads[i, 0] - ox, quads[i, 1] - oy, quads[i, 2] - oz
            t = (x * quads[i, 9] + y * quads[i, 10] + z * quads[i, 11]) / slope
            if not OFFSET < t < best:
                continue
            x, y, z = t * dx - x, t * dy - y, t * dz - z
            u = x * quads[i, 3] + y * quads[i, 4] + z * quads[i, 5]
            v = x * quads[i, 6] + y * quads[i, 7] + z * quads[i, 8]
            if 0.0 <= u <= 1.0 and 0.0 <= v <= 1.0:
                best, which = t, i
    balls = scene.balls
    for i in range(balls.shape[0]):
        x, y, z = ox - balls[i, 0], oy - balls[i, 1], oz - balls[i, 2]
        b = x * dx + y * dy + z * dz
        root = b * b - (x * x + y * y + z * z - balls[i, 3] * balls[i, 3])
        if root <= 0:
            continue
        root = math.sqrt(root)
        t = -b - root
        if t <= OFFSET:
            t = -b + root
        if OFFSET < t < best:
            best, which = t, quads.shape[0] + i
    return best, which


@part
@no_type_check
def _place(quads, i, x, y, z):
    """Coordinates in [0, 1] of a point along both sides of a rectangle."""
    x, y, z = x - quads[i, 0], y - quads[i, 1], z - quads[i, 2]
    return (
        x * quads[i, 3] + y * quads[i, 4] + z * quads[i, 5],
        x * quads[i, 6] + y * quads[i, 7] + z * quads[i, 8],
    )


@part
@no_type_check
def _texel(texels, start, rows, columns, u, v, repeat):
    """Bilinear interpolation; beyond its border a map is repeated or extended."""
    x, y = u * columns - 0.5, v * rows - 0.5
    left, top = math.floor(x), math.floor(y)
    x, y = x - left, y - top
    red = green = blue = 0.0
    for k in range(4):
        i, j = int(left) + (k & 1), int(top) + (k >> 1)
        i = i % columns if repeat else min(max(i, 0), columns - 1)
        j = j % rows if repeat else min(max(j, 0), rows - 1)
        share = (x if k & 1 else 1 - x) * (y if k >> 1 else 1 - y)
        at = start + j * columns + i
        red += share * texels[at, 0]
        green += share * texels[at, 1]
        blue += share * texels[at, 2]
    return red, green, blue


@part
@no_type_check
def _push(stack, size, x, y, z, dx, dy, dz, red, green, blue, depth):
    """Add a branch of a path, unless hardly any light arrives on it; the stack's new size."""
    share = max(abs(red), max(abs(green), abs(blue)))
    if share < LEAST or depth >= MAX_DEPTH or size >= STACK:
        return size
    branch = stack[size]
    branch[0], branch[1], branch[2] = x, y, z
    branch[3], branch[4], branch[5] = dx, dy, dz
    branch[6], branch[7], branch[8], branch[9] = red, green, blue, depth
    return size + 1


@part
@no_type_check
def fresnel(cosine, ratio):
    """Reflectance of unpolarized light, and the cosine of the refracted angle: see bsdf.py."""
    square = 1 - (1 - cosine * cosine) / (ratio * ratio)
    if square <= 0:
        return 1.0, 0.0
    refracted = math.sqrt(square)
    across = (cosine - ratio * refracted) / (cosine + ratio * refracted)
    along = (ratio * cosine - refracted) / (ratio * cosine + refracted)
    return 0.5 * (across * across + along * along), refracted


@part
@no_type_check
def _diffract(scene, stack, size, i, x, y, z, dx, dy, dz, red, green, blue, depth, uniform):
    """All orders of a grating: see rendering/light/grating.py."""
    quads = scene.quads
    nx, ny, nz = quads[i, 9], quads[i, 10], quads[i, 11]
    u, v = _place(quads, i, x, y, z)
    rows, columns = scene.cells.shape
    row = min(max(int(v * rows), 0), rows - 1)
    column = min(max(int(u * columns), 0), columns - 1)
    which = scene.cells[row, column]
    ux, uy, uz = quads[i, 3], quads[i, 4], quads[i, 5]
    length = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / length, uy / length, uz / length
    vx, vy, vz = quads[i, 6], quads[i, 7], quads[i, 8]
    length = math.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / length, vy / length, vz / length
    # Tangential components of the direction of the mirror.
    mirror_u, mirror_v = dx * ux + dy * uy + dz * uz, dx * vx + dy * vy + dz * vz
    count = WAVELENGTHS if depth == 1 else 1
    spectrum = scene.spectrum
    for order in range(-2, 3):
        share = scene.efficiency[abs(order)]
        for k in range(1 if order == 0 else count):
            part = (k + uniform) / count
            shift = order * (SHORTEST + part * (LONGEST - SHORTEST)) / scene.gratings[which, 2]
            a = mirror_u + shift * scene.gratings[which, 0]
            b = mirror_v + shift * scene.gratings[which, 1]
            square = 1 - a * a - b * b
            if square <= 0:
                continue
            c = math.sqrt(square)
            at = min(int(part * spectrum.shape[0]), spectrum.shape[0] - 1)
            r = share if order == 0 else share * spectrum[at, 0] / count
            g = share if order == 0 else share * spectrum[at, 1] / count
            b_ = share if order == 0 else share * spectrum[at, 2] / count
            size = _push(
                stack, size, x + OFFSET * nx, y + OFFSET * ny, z + OFFSET * nz,
                a * ux + b * vx + c * nx, a * uy + b * vy + c * ny, a * uz + b * vz + c * nz,
                red * r, green * g, blue * b_, depth,
            )  # fmt: skip
    return size


@part
@no_type_check
def _scatter_at_ball(scene, stack, size, i, x, y, z, dx, dy, dz, red, green, blue, depth):
    """Reflection, and refraction into or out of a ball of glass."""
    balls = scene.balls
    radius, index = balls[i, 3], balls[i, 7]
    nx, ny, nz = (
        (x - balls[i, 0]) / radius,
        (y - balls[i, 1]) / radius,
        (z - balls[i, 2]) / radius,
    )
    slope = dx * nx + dy * ny + dz * nz
    ratio = index
    if slope > 0:
        nx, ny, nz, slope, ratio = -nx, -ny, -nz, -slope, 1 / max(index, 1e-6)
    reflected, refracted = 1.0, 0.0
    if index > 0:
        reflected, refracted = fresnel(-slope, ratio)
        # The radiance inside is larger by ratio², which the other surface undoes.
        share, along = (1 - reflected) * balls[i, 4], -slope / ratio - refracted
        size = _push(
            stack, size, x - OFFSET * nx, y - OFFSET * ny, z - OFFSET * nz,
            dx / ratio + along * nx, dy / ratio + along * ny, dz / ratio + along * nz,
            red * share, green * (1 - reflected) * balls[i, 5],
            blue * (1 - reflected) * balls[i, 6], depth,
        )  # fmt: skip
    return _push(
        stack, size, x + OFFSET * nx, y + OFFSET * ny, z + OFFSET * nz,
        dx - 2 * slope * nx, dy - 2 * slope * ny, dz - 2 * slope * nz,
        red * reflected * balls[i, 4], green * reflected * balls[i, 5],
        blue * reflected * balls[i, 6], depth,
    )  # fmt: skip


@part
@no_type_check
def radiance(scene, stack, ox, oy, oz, dx, dy, dz, uniform, lamps):
    """Linear RGB that arrives along a ray; `lamps`: whether the ray itself may see a lamp."""
    total_r = total_g = total_b = 0.0
    scale = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = scale * dx, scale * dy, scale * dz
    size = _push(stack, 0, ox, oy, oz, dx, dy, dz, 1.0, 1.0, 1.0, 0)
    quads, colors, maps = scene.quads, scene.colors, scene.maps
    while size > 0:
        size -= 1
        branch = stack[size]
        ox, oy, oz, dx, dy, dz = (
            branch[0],
            branch[1],
            branch[2],
            branch[3],
            branch[4],
            branch[5],
        )
        red, green, blue, depth = branch[6], branch[7], branch[8], int(branch[9]) + 1
        t, i = _nearest(scene, ox, oy, oz, dx, dy, dz, 1e9)
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        if i >= quads.shape[0]:
            size = _scatter_at_ball(
                scene, stack, size, i - quads.shape[0], x, y, z, dx, dy, dz, red, green, blue,
                depth,
            )  # fmt: skip
            continue
        if i < 0:
            continue
        nx, ny, nz = quads[i, 9], quads[i, 10], quads[i, 11]
        slope = dx * nx + dy * ny + dz * nz
        if slope >= 0:
            continue
        kind = scene.kinds[i]
        if kind == MATTE:
            u, v = _place(quads, i, x, y, z)
            start, rows, columns = maps[i, 0], maps[i, 1], maps[i, 2]
            u_, v_ = u * colors[i, 3], v * colors[i, 4]
            r, g, b = _texel(scene.albedo, start, rows, columns, u_, v_, True)
            start, rows, columns = maps[i, 3], maps[i, 4], maps[i, 5]
            light_r, light_g, light_b = _texel(scene.light, start, rows, columns, u, v, False)
            total_r += red * r * light_r
            total_g += green * g * light_g
            total_b += blue * b * light_b
        elif kind == LAMP:
            if lamps or depth > 1:
                total_r += red * colors[i, 0]
                total_g += green * colors[i, 1]
                total_b += blue * colors[i, 2]
        elif kind == MIRROR:
            size = _push(
                stack, size, x + OFFSET * nx, y + OFFSET * ny, z + OFFSET * nz,
                dx - 2 * slope * nx, dy - 2 * slope * ny, dz - 2 * slope * nz,
                red * colors[i, 0], green * colors[i, 1], blue * colors[i, 2], depth,
            )  # fmt: skip
        else:
            size = _diffract(
                scene, stack, size, i, x, y, z, dx, dy, dz,
                red * colors[i, 0], green * colors[i, 1], blue * colors[i, 2], depth, uniform,
            )  # fmt: skip
    return total_r, total_g, total_b


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
        _, which = _nearest(scene, x, y, z, dx, dy, dz, length - 1e-4)
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
    def gather(scene, quad, rows, samples, seed, light):
        """Irradiance over π at the texels of some rows of a matte rectangle's light map.

        From lamps directly, and from all else by cosine-weighted directions (`samples`).
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
                red, green, blue = red / samples, green / samples, blue / samples
                for i in range(quads.shape[0]):
                    if scene.kinds[i] == LAMP:
                        seen = _direct(scene, i, x, y, z, nx, ny, nz, first)
                        red += seen * scene.colors[i, 0]
                        green += seen * scene.colors[i, 1]
                        blue += seen * scene.colors[i, 2]
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
                t, i = _nearest(scene, ox, oy, oz, dx, dy, dz, 1e9)
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

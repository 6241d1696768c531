"""Path tracing of scenes with metal, glass and gratings, almost without noise.

The light that a matte surface reflects does not depend on the view. It is computed once, by
path tracing at the texels of a light map (specular_views.py). A path from a camera then ends at
the first matte surface or lamp. Before that, mirrors, glass and gratings scatter it into a few
directions, all of which are followed: reflection and refraction, and all orders of diffraction
at stratified wavelengths. Materials are those of rendering/light/bsdf.py; tests compare with
its path tracer.

Shapes are rectangles and balls. Paths have at most `MAX_DEPTH` segments between one matte
surface and the next. How many matte surfaces they meet is the number of passes of `gather`.
"""

import math
from typing import NamedTuple, no_type_check

from unrender.data.builtin.source import part
from unrender.files.arrays import Array
from unrender.rendering.light.grating import LONGEST, SHORTEST

MATTE, LAMP, MIRROR, GRATING = range(4)
"""Kinds of rectangles; balls are mirrors or glass."""
MAX_DEPTH = 8
"""Most segments of a path."""
LEAST = 2e-3
"""Branches of a path of which less than this share of the light arrives are neglected."""
WAVELENGTHS = 4
"""Wavelengths per order of a grating, for each ray from the camera."""
OFFSET = 1e-6
"""Distance of ray origins from the surface."""
STACK = 128
"""Most branches of a path that wait to be followed."""


class Surfaces(NamedTuple):
    """A scene's surfaces as arrays; colors and radiances are linear RGB."""

    quads: Array
    """Of each rectangle: a corner, its two sides over their squared lengths, its normal, and
    the corner's component along it."""
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
def _place(quads, i, x, y, z):
    """Coordinates in [0, 1] of a point along both sides of a rectangle."""
    x, y, z = x - quads[i, 0], y - quads[i, 1], z - quads[i, 2]
    return (
        x * quads[i, 3] + y * quads[i, 4] + z * quads[i, 5],
        x * quads[i, 6] + y * quads[i, 7] + z * quads[i, 8],
    )


@part
@no_type_check
def nearest(quads, groups, balls, ox, oy, oz, dx, dy, dz, farthest):
    """Distance to the nearest surface before `farthest`, or that, and the surface's index.

    Rectangles come first, then balls; the index is -1 if nothing is hit.
    """
    best, which = farthest, -1
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
            height = ox * quads[i, 9] + oy * quads[i, 10] + oz * quads[i, 11]
            t = (quads[i, 12] - height) / slope
            if not OFFSET < t < best:
                continue
            u, v = _place(quads, i, ox + t * dx, oy + t * dy, oz + t * dz)
            if 0.0 <= u <= 1.0 and 0.0 <= v <= 1.0:
                best, which = t, i
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
def _scatter_at_ball(balls, stack, size, i, x, y, z, dx, dy, dz, red, green, blue, depth):
    """Reflection, and refraction into or out of a ball of glass."""
    nx, ny, nz = x - balls[i, 0], y - balls[i, 1], z - balls[i, 2]
    scale = 1 / math.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = scale * nx, scale * ny, scale * nz
    # Rounding errors must not put the next rays' origins on the other side.
    radius, index = balls[i, 3], balls[i, 7]
    x, y, z = balls[i, 0] + radius * nx, balls[i, 1] + radius * ny, balls[i, 2] + radius * nz
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
    quads, balls, colors, maps = scene.quads, scene.balls, scene.colors, scene.maps
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
        t, i = nearest(quads, scene.groups, balls, ox, oy, oz, dx, dy, dz, 1e9)
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        if i >= quads.shape[0]:
            size = _scatter_at_ball(
                balls, stack, size, i - quads.shape[0], x, y, z, dx, dy, dz, red, green, blue,
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

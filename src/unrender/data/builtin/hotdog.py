"""`hotdog`: two hot dogs, one with mustard and one with ketchup, and pickles on a plate."""

import math
from typing import no_type_check

from unrender.data.builtin.solids import blend, cone, cylinder, lattice, noise, ramp, smooth_min
from unrender.data.builtin.source import part

PLATE_Z = -0.36
BUN_Z = PLATE_Z + 0.235
SAUSAGE_Z = BUN_Z + 0.16
SAUSAGE_RADIUS = 0.135
SAUCE_RADIUS = 0.036
TURN = 0.3
"""Rotation of the hot dogs in radians, so that nothing is aligned with the axes."""
COS, SIN = math.cos(TURN), math.sin(TURN)

PLATE, PICKLE, BUN, SAUSAGE, SAUCE = 0, 1, 2, 4, 6
"""Part numbers; bun, sausage and sauce of the second hot dog have the next number."""


@part
@no_type_check
def _plate(x, y, z):
    """A surface of revolution: flat in the middle, with a rising rim."""
    r, h = math.sqrt(x * x + y * y), z - PLATE_Z
    flat = math.sqrt(max(r - 0.86, 0.0) ** 2 + h * h)
    t = min(max(((r - 0.86) * 0.42 + h * 0.13) / (0.42 * 0.42 + 0.13 * 0.13), 0.0), 1.0)
    rim = math.sqrt((r - 0.86 - 0.42 * t) ** 2 + (h - 0.13 * t) ** 2)
    return smooth_min(flat, rim, 0.05) - 0.026


@part
@no_type_check
def _pickles(x, y, z):
    best = 10.0
    for i in range(3):
        # Each slice leans on the one before it.
        dx = x - 0.30 * (i - 1) - 0.22
        dy = y + 0.78 - 0.05 * (i - 1) ** 2
        dz = z - PLATE_Z - 0.065 - 0.012 * i
        tilted, up = 0.97 * dx - 0.24 * dz, 0.24 * dx + 0.97 * dz
        best = min(best, cylinder(tilted, dy, up, 0.15, 0.028, 0.02))
    return best


@part
@no_type_check
def _local(x, y, which):
    """Coordinates along and across hot dog `which`, 0 or 1."""
    along, across = COS * x + SIN * y, COS * y - SIN * x
    return (along - 0.05, across + 0.20) if which == 0 else (along + 0.07, across - 0.47)


@part
@no_type_check
def _rise(along):
    """The sausage's ends bend upwards."""
    return 0.10 * along * along


@part
@no_type_check
def _sauce_path(along, which):
    """Sideways offset of the wavy sauce line, and its slope."""
    speed = 17.0 if which == 0 else 24.0
    width = 0.068 if which == 0 else 0.05
    return width * math.sin(speed * along), width * speed * math.cos(speed * along)


@part
@no_type_check
def _bun(along, across, z):
    """Two soft lobes, joined below."""
    side = abs(across)
    h = z - BUN_Z
    stretch = 1.12 * h if h > 0 else h
    lobe = cone(along, side, stretch, -0.60, 0.17, 0.0, 0.60, 0.17, 0.0, 0.185, 0.185)
    base = cone(along, across, h, -0.62, 0.0, -0.09, 0.62, 0.0, -0.09, 0.13, 0.13)
    return smooth_min(lobe, base, 0.1) * 0.9


@part
@no_type_check
def _nearest(x, y, z):
    """Distance to the nearest part, and that part."""
    best, part = _plate(x, y, z), PLATE
    pickles = _pickles(x, y, z)
    if pickles < best:
        best, part = pickles, PICKLE
    for which in range(2):
        along, across = _local(x, y, which)
        around = cone(along, across, z, -0.74, 0.0, BUN_Z, 0.74, 0.0, BUN_Z, 0.45, 0.45)
        if around >= best:
            continue
        bun = _bun(along, across, z)
        if bun < best:
            best, part = bun, BUN + which
        h = z - SAUSAGE_Z - _rise(along)
        sausage = 0.95 * cone(
            along, across, h, -0.76, 0.0, 0.0, 0.76, 0.0, 0.0, SAUSAGE_RADIUS, SAUSAGE_RADIUS
        )
        if sausage < best:
            best, part = sausage, SAUSAGE + which
        if sausage - 0.075 < best:
            reach = max(abs(along) - 0.68, 0.0)
            inside = min(max(along, -0.68), 0.68)
            middle, slope = _sauce_path(inside, which)
            # To first order the distance to a graph is its offset over its arc length.
            offset = (across - middle) / math.sqrt(1 + slope * slope)
            top = SAUSAGE_RADIUS - 0.5 * middle * middle / SAUSAGE_RADIUS + 0.008
            rise = h - top
            sauce = math.sqrt(offset * offset + rise * rise + reach * reach) - SAUCE_RADIUS
            sauce *= 0.55
            if sauce < best:
                best, part = sauce, SAUCE + which
    return best, part


@part
@no_type_check
def distance(x, y, z):
    return _nearest(x, y, z)[0]


@part
@no_type_check
def _bun_color(along, across, z):
    """Browned above, pale below and in the slit, with sesame seeds."""
    h = (z - BUN_Z) / 0.19
    patchy = noise(5 * along, 7 * across, 5 * z) + 0.5 * noise(17 * along, 17 * across, 17 * z)
    brown = ramp(-0.55, 0.75, h + 0.5 * (patchy - 0.75))
    brown *= ramp(0.06, 0.20, abs(across))
    color = blend((0.80, 0.55, 0.25), (0.47, 0.165, 0.032), brown)
    # Seeds lie on a jittered grid over length and the angle about the lobe.
    turn = math.atan2(z - BUN_Z, abs(across) - 0.17) * (1.0 if across > 0 else -1.0)
    u, v = along * 11, turn * 2.2 + 20
    i, j = math.floor(u), math.floor(v)
    du = u - i - 0.3 - 0.4 * lattice(int(i), int(j), 1)
    dv = v - j - 0.3 - 0.4 * lattice(int(i), int(j), 2)
    angle = 3.0 * lattice(int(i), int(j), 3)
    cosine, sine = math.cos(angle), math.sin(angle)
    seed = math.sqrt((cosine * du + sine * dv) ** 2 + (2 * (cosine * dv - sine * du)) ** 2)
    there = 1.0 if lattice(int(i), int(j), 4) < 0.75 else 0.0
    there *= ramp(0.0, 0.3, h)
    return blend(color, (0.85, 0.72, 0.45), there * (1 - ramp(0.20, 0.27, seed)))


@part
@no_type_check
def material(x, y, z, nx, ny, nz):
    """Linear RGB, and strength and exponent of the highlight."""
    _, part = _nearest(x, y, z)
    if part == PLATE:
        r = math.sqrt(x * x + y * y)
        turn = math.atan2(y, x) / (2 * math.pi)
        white = (0.74, 0.74, 0.72)
        ring = 1.0 if 0.90 < r < 0.93 or 1.20 < r < 1.235 else 0.0
        wave = 0.045 * math.sin(turn * 2 * math.pi * 18)
        vine = 1 - ramp(0.016, 0.022, abs(r - 1.065 - wave))
        dot = ((turn * 36) % 1.0 - 0.25) * r * 0.1745
        dots = 1 - ramp(0.022, 0.027, math.sqrt(dot * dot + (r - 1.065 + wave) ** 2))
        ink = max(ring, max(vine, dots)) if nz > 0 else 0.0
        color = blend(white, (0.02, 0.07, 0.36), ink)
        return color[0], color[1], color[2], 0.45, 70.0
    if part == PICKLE:
        spot = noise(22 * x, 22 * y, 22 * z)
        inner = (0.42, 0.47, 0.08) if spot > 0.45 else (0.30, 0.40, 0.05)
        rim = ramp(0.75, 0.9, nz)
        color = blend((0.06, 0.16, 0.015), inner, rim)
        return color[0], color[1], color[2], 0.35, 30.0
    which = part & 1
    along, across = _local(x, y, which)
    if part == BUN + which:
        color = _bun_color(along, across, z)
        return color[0], color[1], color[2], 0.10, 14.0
    if part == SAUSAGE + which:
        turn = math.atan2(z - SAUSAGE_Z - _rise(along), across)
        char = (along * 5.2 + turn * 0.55) % 1.0
        mark = ramp(0.30, 0.40, char) * (1 - ramp(0.60, 0.70, char))
        freckle = noise(14 * along, 14 * across, 14 * z)
        color = blend((0.42, 0.095, 0.035), (0.30, 0.05, 0.02), freckle)
        color = blend(color, (0.07, 0.018, 0.01), 0.85 * mark)
        return color[0], color[1], color[2], 0.40, 35.0
    if which == 0:
        return 0.86, 0.55, 0.02, 0.45, 50.0
    return 0.56, 0.02, 0.012, 0.5, 60.0

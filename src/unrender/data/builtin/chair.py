"""`chair`: a wooden chair with a bowed back and a checked cushion."""

import math
from typing import no_type_check

from unrender.data.builtin.solids import blend, box, cone, noise, ramp, smooth_min
from unrender.data.builtin.source import part

SCALE = 0.93
"""Scale from the parts below to the chair, so that all of it is inside every image."""
SEAT = -0.10
LEAN = 0.16
"""Angle of the back from the vertical, in radians."""
COS, SIN = math.cos(LEAN), math.sin(LEAN)

LEGS, SEAT_BOARD, BACK, SPINDLES, CUSHION = range(5)

LIGHT_WOOD = (0.50, 0.23, 0.075)
DARK_WOOD = (0.21, 0.075, 0.022)
CREAM = (0.78, 0.70, 0.52)
RED = (0.50, 0.035, 0.03)
BLUE = (0.03, 0.07, 0.27)


@part
@no_type_check
def _back_frame(y, z):
    """Coordinates across and along the leaning back, from where it joins the seat."""
    forth, up = y - 0.42, z - SEAT
    return COS * forth - SIN * up, SIN * forth + COS * up


@part
@no_type_check
def _cushion(x, y, z):
    top = z - SEAT - 0.11
    body = box(x, y + 0.02, top, 0.46, 0.42, 0.075, 0.07)
    if body > 0.1:
        return body - 0.03
    # Five buttons pull the cloth down.
    dent = math.exp(-70 * (x * x + (y + 0.02) ** 2))
    dent += math.exp(-70 * ((abs(x) - 0.24) ** 2 + (abs(y + 0.02) - 0.21) ** 2))
    return (body + 0.03 * dent) * 0.95


@part
@no_type_check
def _nearest(x, y, z):
    """Distance to the nearest part, and that part."""
    side = abs(x)
    best = cone(side, y, z, 0.42, -0.38, SEAT, 0.48, -0.45, -1.12, 0.055, 0.034)
    best = min(best, cone(side, y, z, 0.41, 0.38, SEAT, 0.46, 0.53, -1.12, 0.055, 0.034))
    best = min(best, cone(side, y, z, 0.449, -0.415, -0.62, 0.434, 0.455, -0.62, 0.026, 0.026))
    best = min(best, cone(side, y, z, 0.0, 0.02, -0.62, 0.44, 0.02, -0.62, 0.026, 0.026))
    part = LEGS

    board = box(x, y, z - SEAT, 0.53, 0.49, 0.045, 0.03)
    if board < best:
        best, part = board, SEAT_BOARD

    forth, up = _back_frame(y, z)
    # The back is curved: its middle is behind its posts.
    bent = min(side, 0.55)
    bow = forth - 0.10 * (1 - (bent / 0.46) ** 2) * ramp(-0.2, 0.9, up)
    posts = cone(side, forth, up, 0.42, 0.0, -0.02, 0.47, 0.0, 1.16, 0.046, 0.036)
    rail = box(x, bow, up - 1.12 + 0.25 * bent * bent, 0.53, 0.035, 0.13, 0.03) * 0.8
    lower = box(x, bow, up - 0.36, 0.45, 0.024, 0.045, 0.02) * 0.8
    back = min(smooth_min(posts, rail, 0.04), lower)
    if back < best:
        best, part = back, BACK
    column = min(math.floor(side / 0.15 + 0.5), 2.0) * 0.15
    spindle = 0.8 * box(side - column, bow, up - 0.68, 0.036, 0.016, 0.38, 0.012)
    if spindle < best:
        best, part = spindle, SPINDLES
    cushion = _cushion(x, y, z)
    if cushion < best:
        best, part = cushion, CUSHION
    return best, part


@part
@no_type_check
def distance(x, y, z):
    return SCALE * _nearest(x / SCALE, y / SCALE, z / SCALE)[0]


@part
@no_type_check
def _wood(along, a, b, shift):
    """Wood grain: growth rings about an axis a little outside the plank, disturbed by noise."""
    wobble = noise(1.3 * along + shift, 4 * a, 4 * b + shift)
    ring = 13 * math.sqrt((a + 0.6) ** 2 + (b + 0.35 + 0.05 * along) ** 2) + 1.6 * wobble
    saw = ring % 1.0
    grain = ramp(0.0, 0.75, saw) * (1 - ramp(0.85, 1.0, saw))
    fibre = noise(4 * along, 70 * a, 70 * b + shift)
    return blend(LIGHT_WOOD, DARK_WOOD, 0.75 * grain + 0.3 * (fibre - 0.5))


@part
@no_type_check
def _cloth(x, y):
    """A tartan whose stripes differ in x and y, so that it has no rotational symmetry."""
    color = CREAM
    wide_x = 1.0 if (x * 4.6 + 0.2) % 1.0 < 0.42 else 0.0
    wide_y = 1.0 if (y * 4.6 + 0.1) % 1.0 < 0.42 else 0.0
    color = blend(color, RED, 0.5 * (wide_x + wide_y))
    thin_x = 1.0 if abs((x * 4.6 + 0.2) % 1.0 - 0.71) < 0.045 else 0.0
    thin_y = 1.0 if abs((y * 9.2 + 0.35) % 1.0 - 0.71) < 0.07 else 0.0
    return blend(color, BLUE, 0.8 * max(thin_x, thin_y))


@part
@no_type_check
def material(x, y, z, nx, ny, nz):
    """Linear RGB, and strength and exponent of the highlight."""
    x, y, z = x / SCALE, y / SCALE, z / SCALE
    _, part = _nearest(x, y, z)
    if part == CUSHION:
        color = _cloth(x, y)
        button = min(
            x * x + (y + 0.02) ** 2, (abs(x) - 0.24) ** 2 + (abs(y + 0.02) - 0.21) ** 2
        )
        color = blend(color, BLUE, 1 - ramp(0.024, 0.027, math.sqrt(button)))
        return color[0], color[1], color[2], 0.03, 8.0
    if part == SEAT_BOARD:
        color = _wood(x, y, z, 3.0)
    elif part == LEGS:
        color = _wood(z, x, y, 7.0)
    elif part == SPINDLES:
        color = _wood(z, 2 * x, y, 11.0)
    else:
        forth, up = _back_frame(y, z)
        color = _wood(x, up, forth, 5.0)
        if 1.02 < up < 1.20:
            # A row of inlaid diamonds on the top rail.
            diamond = abs((x / 0.13 + 0.5) % 1.0 - 0.5) * 0.13 + abs(up - 1.11 + 0.25 * x * x)
            inlay = 1 - ramp(0.042, 0.046, diamond)
            color = blend(color, CREAM, inlay if abs(x) < 0.4 else 0.0)
    return color[0], color[1], color[2], 0.22, 30.0

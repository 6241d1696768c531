"""`bricks`: a small tower of studded toy bricks on a green plate."""

import math
from typing import no_type_check

import numpy as np

from unrender.data.builtin.solids import box, cylinder, ramp
from unrender.data.builtin.source import part

PITCH = 0.28
"""Distance between neighboring studs: 8 mm in real bricks, whose proportions these have."""
BRICK_HEIGHT = 1.2 * PITCH
PLATE_HEIGHT = 0.4 * PITCH
STUD_RADIUS = 0.3 * PITCH
STUD_HEIGHT = 0.21 * PITCH
GAP = 0.005
FLOOR = -0.66
PLATE_STUDS = 6

PLAIN, CHECKER, DOTS, STRIPES, SLOPE = range(5)

# First stud along x and y, studs along x and y, layer above the plate, color, kind.
LAYOUT = np.array(
    [
        (0, 0, 4, 2, 0, 0, PLAIN),
        (0, 2, 2, 4, 0, 1, PLAIN),
        (3, 3, 2, 2, 0, 2, STRIPES),
        (5, 0, 1, 2, 0, 3, DOTS),
        (2, 5, 3, 1, 0, 4, PLAIN),
        (0, 0, 2, 4, 1, 2, PLAIN),
        (2, 0, 2, 2, 1, 3, CHECKER),
        (0, 4, 2, 2, 1, 4, PLAIN),
        (3, 3, 2, 2, 1, 1, SLOPE),
        (0, 1, 2, 3, 2, 3, DOTS),
        (1, 0, 3, 1, 2, 5, PLAIN),
        (0, 2, 2, 2, 3, 0, SLOPE),
    ],
    dtype=np.int64,
)

# Center (x, y, z) and half sizes of every brick.
BOXES = np.stack(
    [
        (LAYOUT[:, 0] + LAYOUT[:, 2] / 2 - PLATE_STUDS / 2) * PITCH,
        (LAYOUT[:, 1] + LAYOUT[:, 3] / 2 - PLATE_STUDS / 2) * PITCH,
        FLOOR + PLATE_HEIGHT + (LAYOUT[:, 4] + 0.5) * BRICK_HEIGHT,
        LAYOUT[:, 2] * PITCH / 2,
        LAYOUT[:, 3] * PITCH / 2,
        np.full(len(LAYOUT), BRICK_HEIGHT / 2),
    ],
    axis=1,
)

# Linear RGB: red, yellow, blue, white, orange, turquoise, and the plate's green.
COLORS = np.array(
    [
        (0.58, 0.02, 0.02),
        (0.83, 0.50, 0.01),
        (0.01, 0.10, 0.48),
        (0.80, 0.79, 0.74),
        (0.80, 0.19, 0.01),
        (0.01, 0.38, 0.36),
        (0.03, 0.24, 0.06),
    ]
)


@part
@no_type_check
def _studs(x, y, z, first_x, first_y, num_x, num_y, top):
    """Distance to the nearest of a grid of studs that stand on z = top."""
    i = min(max(math.floor((x - first_x) / PITCH + 0.5), 0.0), num_x - 1.0)
    j = min(max(math.floor((y - first_y) / PITCH + 0.5), 0.0), num_y - 1.0)
    return cylinder(
        x - first_x - i * PITCH,
        y - first_y - j * PITCH,
        z - top,
        STUD_RADIUS,
        STUD_HEIGHT,
        0.012,
    )


@part
@no_type_check
def _brick(index, x, y, z, nearest):
    """Distance to a brick, or some value ≥ `nearest` if the brick is not closer than that."""
    half_x, half_y, half_z = BOXES[index, 3], BOXES[index, 4], BOXES[index, 5]
    x, y, z = x - BOXES[index, 0], y - BOXES[index, 1], z - BOXES[index, 2]
    if max(abs(x) - half_x, max(abs(y) - half_y, abs(z) - half_z - STUD_HEIGHT)) >= nearest:
        return nearest
    body = box(x, y, z, half_x - GAP, half_y - GAP, half_z - 0.001, 0.014)
    if body - STUD_HEIGHT >= nearest:
        return nearest
    num_x, num_y = LAYOUT[index, 2], LAYOUT[index, 3]
    first_x, first_y = PITCH / 2 - half_x, PITCH / 2 - half_y
    if LAYOUT[index, 6] == SLOPE:
        # A roof that falls towards -y, with studs on its upper row only.
        body = max(body, 0.76 * (z - half_z) - 0.65 * y)
        first_y, num_y = half_y - PITCH / 2, 1
    return min(body, _studs(x, y, z, first_x, first_y, num_x, num_y, half_z))


@part
@no_type_check
def _nearest(x, y, z):
    """Distance to the nearest brick or plate, and the brick's index, -1 for the plate."""
    half = PLATE_STUDS * PITCH / 2
    top = FLOOR + PLATE_HEIGHT
    best = box(x, y, z - FLOOR - PLATE_HEIGHT / 2, half, half, PLATE_HEIGHT / 2, 0.014)
    first = PITCH / 2 - half
    if z - top - STUD_HEIGHT < best:
        best = min(best, _studs(x, y, z, first, first, PLATE_STUDS, PLATE_STUDS, top))
    which = -1
    for index in range(LAYOUT.shape[0]):
        distance = _brick(index, x, y, z, best)
        if distance < best:
            best, which = distance, index
    return best, which


@part
@no_type_check
def distance(x, y, z):
    return _nearest(x, y, z)[0]


@part
@no_type_check
def material(x, y, z, nx, ny, nz):
    """Linear RGB, and strength and exponent of the highlight."""
    _, which = _nearest(x, y, z)
    if which < 0:
        return COLORS[6, 0], COLORS[6, 1], COLORS[6, 2], 0.25, 40.0
    color = LAYOUT[which, 5]
    red, green, blue = COLORS[color, 0], COLORS[color, 1], COLORS[color, 2]
    left, front = BOXES[which, 0] - BOXES[which, 3], BOXES[which, 1] - BOXES[which, 4]
    height = (z - BOXES[which, 2]) / BRICK_HEIGHT + 0.5
    kind = LAYOUT[which, 6]
    if abs(nz) < 0.3 and 0.06 < height < 0.94:
        # Prints on the vertical faces; `along` is the horizontal coordinate in studs.
        along = ((x - left) if abs(ny) > abs(nx) else (y - front)) / PITCH
        ink = 0.0
        if kind == CHECKER:
            odd = (math.floor(along * 4) + math.floor((height - 0.06) * 4.545)) % 2
            ink = 1.0 if odd == 1 else 0.0
        elif kind == DOTS:
            away = math.sqrt((along % 1.0 - 0.5) ** 2 + (1.2 * (height - 0.5)) ** 2)
            ink = 1 - ramp(0.24, 0.27, away)
        elif kind == STRIPES:
            ink = 1.0 if (along * 2.5) % 1.0 < 0.35 else 0.0
        if kind == STRIPES:
            red, green, blue = (
                red + ink * (0.80 - red),
                green + ink * (0.79 - green),
                blue + ink * (0.74 - blue),
            )
        else:
            red, green, blue = (
                red * (1 - 0.96 * ink),
                green * (1 - 0.95 * ink),
                blue * (1 - 0.92 * ink),
            )
    return red, green, blue, 0.35, 60.0

"""Cars, vans, pick-ups and buses, facing +y on z = 0 before normalization to the unit cube."""

from itertools import pairwise

import numpy as np

from unrender.data.builtin.families.colors import any_color
from unrender.data.builtin.families.solids import Color, Solid, loft, slab, stick

KINDS = {"saloon": 0.3, "hatch": 0.22, "van": 0.14, "pickup": 0.12, "bus": 0.1, "sports": 0.12}
"""Kinds of cars and their probabilities."""
GLASS = (0.13, 0.16, 0.2)
TYRE = (0.06, 0.06, 0.06)
CHROME = (0.6, 0.6, 0.62)


def car(random: np.random.Generator) -> list[Solid]:
    """A car of a random kind, of length 1."""
    kind = str(random.choice(list(KINDS), p=list(KINDS.values())))
    paint = any_color(random)
    half = random.uniform(0.17, 0.22)
    wheel = random.uniform(0.055, 0.085)
    ground = wheel * random.uniform(0.6, 1.0)
    if kind in {"van", "bus"}:
        solids, waist = _box_body(random, kind, half, ground, paint)
    else:
        solids, waist = _body(random, kind, half, ground, paint)
    solids += _wheels(random, kind, half, wheel)
    lamp = min(ground + 0.6 * (waist - ground), waist - 0.02)
    for x in (-0.7 * half, 0.7 * half):
        solids += [
            slab((x - 0.03, 0.47, lamp - 0.015), (x + 0.03, 0.505, lamp + 0.01), CHROME),
            slab(
                (x - 0.03, -0.505, lamp - 0.015),
                (x + 0.03, -0.47, lamp + 0.01),
                (0.6, 0.05, 0.05),
            ),
        ]
    return solids


def _cabin(
    half: float, low: float, high: float, ends: tuple[float, float, float, float], paint: Color
) -> list[Solid]:
    """Glass with a roof; `ends` are its back and front y at the bottom and at the roof."""
    back, front, roof_back, roof_front = ends
    narrow = 0.8 * half

    def ring(x: float, y0: float, y1: float, z: float) -> list[tuple[float, float, float]]:
        return [(x, y0, z), (x, y1, z), (-x, y1, z), (-x, y0, z)]

    glass = loft(
        [ring(0.95 * half, back, front, low), ring(narrow, roof_back, roof_front, high)], GLASS
    )
    lid = [
        ring(0.99 * narrow, roof_back, roof_front, high - 0.004),
        ring(0.9 * narrow, roof_back + 0.03, roof_front - 0.03, high + 0.018),
    ]
    pillars = [
        stick((a * 0.95 * half, y, low), (a * narrow, roof, high), 0.011, paint, 4)
        for a in (-1, 1)
        for y, roof in ((back, roof_back), (front, roof_front))
    ]
    return [glass, loft(lid, paint), *pillars]


def _body(
    random: np.random.Generator, kind: str, half: float, ground: float, paint: Color
) -> tuple[list[Solid], float]:
    low_car = kind == "sports"
    waist = ground + random.uniform(0.1, 0.14) * (0.85 if low_car else 1.0)
    roof = waist + random.uniform(0.09, 0.13) * (0.8 if low_car else 1.0)
    nose = random.uniform(0.6, 1.0)
    side = [
        (-0.5, ground),
        (0.5, ground),
        (0.5, ground + nose * (waist - ground)),
        (0.2, waist),
        (-0.44, waist),
        (-0.5, waist - 0.03),
    ]
    inner = random.uniform(0.9, 0.97)
    # From the left side to the right one, a little narrower at the doors' outer skin.
    rings = [
        [(x, share * y, (z - ground) * share + ground) for y, z in side]
        for x, share in ((-half, inner), (-0.9 * half, 1.0), (0.9 * half, 1.0), (half, inner))
    ]
    solids = [loft(rings, paint)]
    front = random.uniform(0.12, 0.26)
    rake = random.uniform(0.08, 0.16)
    back = {
        "saloon": random.uniform(-0.36, -0.26),
        "hatch": random.uniform(-0.5, -0.46),
        "pickup": random.uniform(-0.12, -0.02),
        "sports": random.uniform(-0.42, -0.3),
    }[kind]
    slope = (
        random.uniform(0.02, 0.06)
        if kind in {"hatch", "pickup"}
        else random.uniform(0.08, 0.16)
    )
    solids += _cabin(
        half,
        waist - 0.02,
        roof,
        (back, front, back + slope, max(front - rake, back + slope + 0.09)),
        paint,
    )
    if kind == "pickup":
        rail = waist + random.uniform(0.02, 0.05)
        thick = 0.025
        low = waist - 0.01
        solids += [
            slab((-0.97 * half, -0.49, low), (thick - 0.97 * half, back, rail), paint),
            slab((0.97 * half - thick, -0.49, low), (0.97 * half, back, rail), paint),
            slab((-0.96 * half, -0.49, low), (0.96 * half, thick - 0.49, rail), paint),
        ]
    if low_car and random.random() < 0.6:
        wing = waist + random.uniform(0.03, 0.07)
        solids.append(slab((-0.9 * half, -0.5, wing), (0.9 * half, -0.42, wing + 0.015), paint))
        solids += [
            slab((x - 0.012, -0.48, waist - 0.02), (x + 0.012, -0.45, wing + 0.005), paint)
            for x in (-0.6 * half, 0.6 * half)
        ]
    return solids, waist


def _box_body(
    random: np.random.Generator, kind: str, half: float, ground: float, paint: Color
) -> tuple[list[Solid], float]:
    bus = kind == "bus"
    half = 0.75 * half if bus else half
    roof = ground + (random.uniform(0.24, 0.3) if bus else random.uniform(0.28, 0.4))
    waist = ground + 0.45 * (roof - ground)
    snout = random.uniform(0.0, 0.03) if bus else random.uniform(0.04, 0.2)
    side = [
        (-0.5, ground),
        (0.5, ground),
        (0.5, waist - 0.3 * snout),
        (0.5 - snout, roof),
        (-0.5, roof),
    ]
    rings = [[(x, y, z) for y, z in side] for x in (-half, half)]
    low, high = waist + 0.05 * (roof - waist), roof - 0.2 * (roof - waist)
    number = int(random.integers(4, 8)) if bus else int(random.integers(1, 4))
    ahead = 0.5 - snout - 0.06
    edges = np.linspace(-0.46, ahead, number + 1)
    panes = [
        slab((-half - 0.004, a + 0.012, low), (half + 0.004, b - 0.012, high), GLASS)
        for a, b in pairwise(edges)
    ]
    wide = 0.88 * half
    rise = (high - waist) / (roof - waist)
    y_low = 0.5 + 0.006
    shield = [
        [
            (wide, y_low - snout * share - 0.05, z),
            (wide, y_low - snout * share, z),
            (-wide, y_low - snout * share, z),
            (-wide, y_low - snout * share - 0.05, z),
        ]
        for share, z in ((0.1, waist), (rise, high))
    ]
    return [loft(rings, paint), *panes, loft(shield, GLASS)], waist


def _wheels(random: np.random.Generator, kind: str, half: float, radius: float) -> list[Solid]:
    half = 0.75 * half if kind == "bus" else half
    front, back = random.uniform(0.28, 0.34), -random.uniform(0.26, 0.34)
    wide = random.uniform(0.05, 0.08)
    solids: list[Solid] = []
    for y in (front, back):
        for side in (-1, 1):
            inner, outer = side * (half - wide), side * (half + 0.008)
            solids.append(stick((inner, y, radius), (outer, y, radius), radius, TYRE, 18))
            hub = (side * (half - 0.02), y, radius)
            solids.append(
                stick(hub, (side * (half + 0.012), y, radius), 0.55 * radius, CHROME, 12)
            )
    return solids

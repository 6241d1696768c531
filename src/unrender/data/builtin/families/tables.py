"""Tables and desks, standing on z = 0 before normalization to the unit cube."""

import math

import numpy as np

from unrender.data.builtin.families.colors import two_colors
from unrender.data.builtin.families.solids import Color, Solid, lathe, slab, stick

LEGS = {"four": 0.4, "pedestal": 0.17, "panels": 0.15, "trestle": 0.14, "desk": 0.14}
"""Kinds of support and their probabilities."""


def table(random: np.random.Generator) -> list[Solid]:
    """A table of a random kind."""
    legs = str(random.choice(list(LEGS), p=list(LEGS.values())))
    wood, board = two_colors(random)
    x, y = random.uniform(0.3, 0.5), random.uniform(0.2, 0.4)
    top, thick = random.uniform(0.25, 0.8), random.uniform(0.02, 0.06)
    round_top = legs in {"four", "pedestal"} and random.random() < 0.4
    if round_top:
        squash = random.choice([1.0, random.uniform(0.6, 1.0)])
        y = squash * x
        profile = [(x, top - thick), (x, top)]
        solids = lathe(profile, (0.0, 0.0), board, 20, squash)
    else:
        bevel = random.choice([0.0, 0.4 * thick])
        solids = [slab((-x, -y, top - thick), (x, y, top), board, bevel=bevel)]
    under = top - thick / 2
    if legs == "pedestal":
        return solids + _pedestal(random, min(x, y), under, wood)
    if legs == "four":
        reach = random.uniform(0.62, 0.68) if round_top else random.uniform(0.75, 0.95)
        return solids + _four_legs(random, reach * x, reach * y, under, wood)
    half = random.uniform(0.015, 0.04)
    x, y = 0.94 * x, 0.92 * y
    if legs == "panels":
        solids += [slab((a - half, -y, 0), (a + half, y, under), wood) for a in (-x, x)]
        return solids + _shelves(random, x, y, under, board)
    if legs == "trestle":
        x *= random.uniform(0.6, 0.9)
        for a in (-x, x):
            solids += [
                slab((a - half, -y, 0), (a + half, y, 2 * half), wood),
                slab((a - half, -1.5 * half, half), (a + half, 1.5 * half, under), wood),
                slab((a - half, -0.8 * y, under - 2 * half), (a + half, 0.8 * y, under), wood),
            ]
        rail = random.uniform(0.2, 0.7) * under
        return [*solids, slab((-x, -half / 2, rail - half), (x, half / 2, rail + half), wood)]
    # A desk: drawers on one side or both, and legs or a panel on the other.
    block = random.uniform(0.3, 0.6) * x
    foot = random.choice([0.0, random.uniform(0.02, 0.08)])
    solids.append(slab((-x, -y, foot), (block - x, y, under), wood))
    if random.random() < 0.4:
        solids.append(slab((x - block, -y, foot), (x, y, under), wood))
    else:
        solids.append(slab((x - half, -y, 0), (x, y, under), wood))
    solids.append(slab((-x, -y, 0.4 * top), (x, half - y, under), wood))
    return solids


def _pedestal(
    random: np.random.Generator, reach: float, under: float, color: Color
) -> list[Solid]:
    stem = random.uniform(0.02, 0.06)
    if random.random() < 0.5:
        foot, rise = random.uniform(0.5, 0.8) * reach, random.uniform(0.02, 0.1)
        profile = [(foot, 0.0), (foot, 0.02), (stem, 0.02 + rise), (stem, under)]
        return lathe(profile, (0.0, 0.0), color)
    number = int(random.integers(3, 6))
    begin, hub = random.uniform(0, 2 * math.pi), random.uniform(0.06, 0.2) * under / 0.5
    solids = [stick((0, 0, 0.6 * hub), (0, 0, under), stem, color, 10)]
    for arm in range(number):
        angle = begin + 2 * math.pi * arm / number
        end = (0.8 * reach * math.cos(angle), 0.8 * reach * math.sin(angle), 0.015)
        solids.append(stick((0, 0, hub), end, (0.7 * stem, 0.015), color, 6))
    return solids


def _four_legs(
    random: np.random.Generator, x: float, y: float, under: float, color: Color
) -> list[Solid]:
    half, sides = random.uniform(0.012, 0.035), int(random.choice([4, 8]))
    taper, splay = random.uniform(0.5, 1.0), random.choice([0.0, random.uniform(0, 0.08)])
    corners = [(-x, -y), (x, -y), (x, y), (-x, y)]
    solids = [
        stick(
            (a + math.copysign(splay, a), b + math.copysign(splay, b), 0),
            (a, b, under),
            (taper * half, half),
            color,
            sides,
        )
        for a, b in corners
    ]
    if random.random() < 0.4:
        deep = random.uniform(0.04, 0.1)
        solids += [
            slab((-x, side - 0.012, under - deep), (x, side + 0.012, under), color)
            for side in (-y, y)
        ]
        solids += [
            slab((side - 0.012, -y, under - deep), (side + 0.012, y, under), color)
            for side in (-x, x)
        ]
    if random.random() < 0.25:
        at = random.uniform(0.15, 0.5) * under
        solids.append(slab((-x, -y, at), (x, y, at + 0.025), color))
    return solids


def _shelves(
    random: np.random.Generator, x: float, y: float, under: float, color: Color
) -> list[Solid]:
    number = int(random.integers(0, 3))
    heights = [under * (k + 1) / (number + 1) for k in range(number)]
    solids = [slab((-x, -y, at), (x, y, at + 0.025), color) for at in heights]
    if random.random() < 0.4:
        solids.append(slab((-x, -0.98 * y, 0.0), (x, 0.025 - 0.98 * y, under), color))
    return solids

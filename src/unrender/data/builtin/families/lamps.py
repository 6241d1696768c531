"""Table, floor, desk and hanging lamps, before normalization to the unit cube."""

import math

import numpy as np

from unrender.data.builtin.families.colors import any_color, two_colors
from unrender.data.builtin.families.solids import Color, Solid, ball, lathe, slab, stick

KINDS = {"table": 0.35, "floor": 0.25, "desk": 0.2, "hanging": 0.2}
"""Kinds of lamps and their probabilities."""


def lamp(random: np.random.Generator) -> list[Solid]:
    """A lamp of a random kind."""
    kind = str(random.choice(list(KINDS), p=list(KINDS.values())))
    metal, shade = any_color(random), two_colors(random)[1]
    if kind == "desk":
        return _desk(random, metal, shade)
    if kind == "hanging":
        cord = random.uniform(0.3, 0.8)
        radius = random.uniform(0.2, 0.4)
        rose = lathe([(0.09, cord + 0.28), (0.06, cord + 0.32)], (0.0, 0.0), metal)
        wire = stick((0, 0, 0.1), (0, 0, cord + 0.3), 0.012, metal)
        return [*_shade(random, radius, 0.0, shade), *rose, wire]
    floor = kind == "floor"
    height = random.uniform(0.75, 0.9) if floor else random.uniform(0.35, 0.6)
    solids = _foot(random, random.uniform(0.1, 0.2), metal)
    if floor or random.random() < 0.4:
        pole = random.uniform(0.01, 0.022)
        solids.append(stick((0, 0, 0.005), (0, 0, height + 0.05), pole, metal))
    else:
        solids += _vase(random, height, metal)
    radius = random.uniform(0.12, 0.22) if floor else random.uniform(0.16, 0.32)
    return solids + _shade(random, radius, height, shade)


def _foot(random: np.random.Generator, reach: float, color: Color) -> list[Solid]:
    kind = random.random()
    if kind < 0.5:
        profile = [(reach, 0.0), (random.uniform(0.3, 1.0) * reach, random.uniform(0.02, 0.06))]
        return lathe(profile, (0.0, 0.0), color)
    if kind < 0.75:
        return [slab((-reach, -reach, 0), (reach, reach, random.uniform(0.02, 0.05)), color)]
    solids: list[Solid] = []
    begin, hub = random.uniform(0, math.pi), random.uniform(0.1, 0.3)
    for leg in range(3):
        angle = begin + 2 * math.pi * leg / 3
        end = (1.3 * reach * math.cos(angle), 1.3 * reach * math.sin(angle), 0.0)
        solids.append(stick(end, (0, 0, hub), (0.01, 0.014), color))
    return solids


def _vase(random: np.random.Generator, height: float, color: Color) -> list[Solid]:
    """A body of revolution that widens and then narrows towards the shade."""
    wide, narrow = random.uniform(0.07, 0.16), random.uniform(0.02, 0.05)
    belly = random.uniform(0.2, 0.7) * height
    profile = [
        (random.uniform(0.5, 1.0) * wide, 0.0),
        (wide, belly),
        (narrow, belly + random.uniform(0.3, 0.9) * (height - belly)),
        (narrow, height + 0.04),
    ]
    if random.random() < 0.3:
        middle = ball((0, 0, belly), wide, color, random.uniform(0.6, 1.0))
        return [middle, stick((0, 0, 0.005), (0, 0, height + 0.04), narrow, color)]
    return lathe(profile, (0.0, 0.0), color)


def _shade(random: np.random.Generator, radius: float, low: float, color: Color) -> list[Solid]:
    high = random.uniform(0.6, 1.3) * radius
    kind = random.random()
    if kind < 0.55:
        profile = [(radius, low), (random.uniform(0.4, 1.0) * radius, low + high)]
        return lathe(profile, (0.0, 0.0), color, int(random.choice([4, 6, 18])))
    if kind < 0.8:
        squash = random.uniform(0.6, 1.0)
        return [ball((0, 0, low + squash * radius), radius, color, squash)]
    steps = np.linspace(0, 0.47 * np.pi, 5)
    dome = [(radius * math.cos(t), low + high * math.sin(t)) for t in steps]
    return lathe(dome, (0.0, 0.0), color)


def _desk(random: np.random.Generator, metal: Color, shade: Color) -> list[Solid]:
    """A desk lamp: two arms with a joint, extending towards +y."""
    solids = _foot(random, random.uniform(0.1, 0.18), metal)
    first, second = random.uniform(0.3, 0.5), random.uniform(0.25, 0.45)
    tilt, reach = random.uniform(-0.7, 0.1), random.uniform(0.3, 1.2)
    bar = random.uniform(0.01, 0.02)
    elbow = (first * math.sin(tilt), first * math.cos(tilt) + 0.02)
    head = (elbow[0] + second * math.sin(reach), elbow[1] + second * math.cos(reach))
    solids += [
        stick((0, 0, 0.005), (0, *elbow), bar, metal),
        stick((0, *elbow), (0, *head), bar, metal),
        ball((0, *elbow), 1.6 * bar, metal, sides=8),
    ]
    droop, long = random.uniform(0.0, 0.9), random.uniform(0.1, 0.2)
    way = (math.sin(droop), -math.cos(droop))
    behind = (0, head[0] - 0.2 * long * way[0], head[1] - 0.2 * long * way[1])
    ahead = (0, head[0] + long * way[0], head[1] + long * way[1])
    radii = (random.uniform(0.02, 0.05), random.uniform(0.07, 0.13))
    return [*solids, stick(behind, ahead, radii, shade, 12)]

"""Chairs, stools and armchairs, facing +y on z = 0 before normalization to the unit cube."""

import math
from dataclasses import dataclass

import numpy as np

from unrender.data.builtin.families.colors import two_colors
from unrender.data.builtin.families.solids import Color, Solid, lathe, loft, slab, stick

LEGS = {
    "four": 0.42,
    "sled": 0.08,
    "pedestal": 0.1,
    "star": 0.14,
    "panels": 0.08,
    "cantilever": 0.06,
    "block": 0.12,
}
"""Kinds of support and their probabilities."""
BACKS = {
    "panel": 0.2,
    "slats": 0.17,
    "ladder": 0.15,
    "curved": 0.15,
    "spindles": 0.1,
    "frame": 0.13,
    "none": 0.1,
}


@dataclass(frozen=True)
class Plan:
    """Parameters shared by the parts of a chair, which is about 1 high."""

    width: float
    depth: float
    seat: float
    """Height of the seat's upper side."""
    thick: float
    """Thickness of the seat."""
    back: float
    """Height of the back above the seat."""
    lean: float
    """Horizontal offset of the back's upper end behind its lower end."""
    frame: Color
    cloth: Color
    legs: str
    style: str
    """Kind of back, a key of `BACKS`."""
    bar: float
    """Half the thickness of legs and posts."""
    sides: int
    """Number of sides of the legs' cross-section."""


def chair(random: np.random.Generator) -> list[Solid]:
    """A chair of a random kind."""
    plan = _plan(random)
    solids = _seat(plan, random) + _legs(plan, random) + _back(plan, random)
    if plan.style != "none" and random.random() < (0.7 if plan.legs == "block" else 0.35):
        solids += _arms(plan, random)
    return solids


def _plan(random: np.random.Generator) -> Plan:
    frame, cloth = two_colors(random)
    legs = str(random.choice(list(LEGS), p=list(LEGS.values())))
    style = str(random.choice(list(BACKS), p=list(BACKS.values())))
    high = style == "none" or random.random() < 0.08
    width = random.uniform(0.38, 0.58)
    if legs == "block":
        width, style = random.uniform(0.5, 0.75), str(random.choice(["panel", "curved"]))
    return Plan(
        width=width,
        depth=min(random.uniform(0.36, 0.56), 1.2 * width),
        seat=random.uniform(0.5, 0.75) if high else random.uniform(0.34, 0.48),
        thick=random.uniform(0.03, 0.09),
        back=random.uniform(0.3, 0.62),
        lean=random.uniform(0.0, 0.16),
        frame=frame,
        cloth=cloth,
        legs=legs,
        style=style,
        bar=random.uniform(0.013, 0.028),
        sides=int(random.choice([4, 8])),
    )


def _seat(plan: Plan, random: np.random.Generator) -> list[Solid]:
    x, y, top = plan.width / 2, plan.depth / 2, plan.seat
    if plan.style == "none" and random.random() < 0.6:
        profile = [(x, top - plan.thick), (1.04 * x, top - plan.thick / 2), (x, top)]
        return lathe(profile, (0.0, 0.0), plan.cloth, squash=random.uniform(0.85, 1.0))
    narrow = random.uniform(0.82, 1.0)
    front = [(x, y), (-x, y), (-narrow * x, -y), (narrow * x, -y)]
    if plan.legs == "block" or random.random() < 0.4:
        low, high = (-x, -y, top - plan.thick), (x, y, top)
        solids = [slab(low, high, plan.cloth, bevel=0.4 * plan.thick)]
    else:
        solids = [
            loft([[(*at, z) for at in front] for z in (top - plan.thick, top)], plan.cloth)
        ]
    if random.random() < 0.3:
        inset = random.uniform(0.02, 0.05)
        low = (-narrow * x + inset, -y + inset, top - 0.01)
        high = (narrow * x - inset, y - inset, top + random.uniform(0.02, 0.05))
        solids.append(slab(low, high, plan.cloth, bevel=0.015))
    return solids


def _legs(plan: Plan, random: np.random.Generator) -> list[Solid]:
    if plan.legs == "four":
        return _four_legs(plan, random)
    if plan.legs == "star":
        return _star(plan, random)
    if plan.legs in {"sled", "cantilever"}:
        return _runners(plan)
    x, y, top = plan.width / 2 - plan.bar, plan.depth / 2 - plan.bar, plan.seat - plan.thick / 2
    if plan.legs == "pedestal":
        foot, stem = random.uniform(0.14, 0.26), random.uniform(0.02, 0.05)
        rise = random.uniform(0.02, 0.12)
        profile = [(foot, 0.0), (foot, 0.02), (stem, 0.02 + rise), (stem, top)]
        return lathe(profile, (0.0, 0.0), plan.frame)
    if plan.legs == "panels":
        half = random.uniform(0.01, 0.025)
        return [slab((a - half, -y, 0), (a + half, y, top), plan.frame) for a in (-x, x)]
    lift = random.choice([0.0, random.uniform(0.03, 0.1)])
    solids = [slab((-0.96 * x, -0.96 * y, lift), (0.96 * x, 0.96 * y, top), plan.cloth)]
    if lift:
        solids += [
            stick(
                (0.85 * a, 0.85 * b, 0), (0.85 * a, 0.85 * b, lift + 0.02), plan.bar, plan.frame
            )
            for a in (-x, x)
            for b in (-y, y)
        ]
    return solids


def _runners(plan: Plan) -> list[Solid]:
    """A bent tube on each side: legs on a runner, at the front only for a cantilever."""
    x, y, top = plan.width / 2 - plan.bar, plan.depth / 2 - plan.bar, plan.seat - plan.thick / 2
    bar, color, sides = plan.bar, plan.frame, plan.sides
    sled = plan.legs == "sled"
    solids: list[Solid] = []
    for a in (-x, x):
        ends = (-y, y) if sled else (y,)
        solids += [
            stick((a, end, bar), (a, 0.9 * end if sled else end, top), bar, color, sides)
            for end in ends
        ]
        heights = (bar,) if sled else (bar, top)
        solids += [
            stick((a, -y - bar, at), (a, y + bar, at), bar, color, sides) for at in heights
        ]
    return solids if sled else [*solids, stick((-x, -y, bar), (x, -y, bar), bar, color, sides)]


def _four_legs(plan: Plan, random: np.random.Generator) -> list[Solid]:
    x, y, top = plan.width / 2 - plan.bar, plan.depth / 2 - plan.bar, plan.seat - plan.thick / 2
    inset, splay = random.uniform(0.8, 1.0), random.choice([0.0, random.uniform(0.0, 0.08)])
    taper = random.uniform(0.6, 1.0)
    ends: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = []
    for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        upper = (a * inset * x, b * inset * y, top)
        ends.append(((upper[0] + a * splay, upper[1] + b * splay, 0.0), upper))
    solids = [
        stick(low, high, (taper * plan.bar, plan.bar), plan.frame, plan.sides)
        for low, high in ends
    ]
    kind = random.choice(["none", "ring", "sides", "apron"], p=[0.45, 0.2, 0.2, 0.15])
    if kind == "apron":
        low = (-inset * x, -inset * y, plan.seat - plan.thick - random.uniform(0.03, 0.07))
        return [*solids, slab(low, (inset * x, inset * y, top), plan.frame)]
    if kind == "none":
        return solids
    share = random.uniform(0.2, 0.6)
    places = [(1 - share) * np.array(low) + share * np.array(high) for low, high in ends]
    pairs = [(1, 2), (3, 0)] + ([(0, 1), (2, 3)] if kind == "ring" else [])
    bars = [
        stick(places[a].tolist(), places[b].tolist(), 0.7 * plan.bar, plan.frame, plan.sides)
        for a, b in pairs
    ]
    if kind == "sides":
        reach, height = inset * x + (1 - share) * splay, share * top
        left, right = (-reach, 0.0, height), (reach, 0.0, height)
        bars.append(stick(left, right, 0.7 * plan.bar, plan.frame, plan.sides))
    return solids + bars


def _star(plan: Plan, random: np.random.Generator) -> list[Solid]:
    """The base of an office chair: arms around a column, with or without castors."""
    number, reach = int(random.choice([4, 5, 5, 6])), random.uniform(0.2, 0.32)
    castor = random.choice([0.0, random.uniform(0.02, 0.035)])
    hub, dark = 2 * castor + random.uniform(0.03, 0.08), (0.12, 0.12, 0.13)
    solids = [
        stick((0, 0, hub - 0.03), (0, 0, plan.seat - plan.thick / 2), 0.025, plan.frame, 10)
    ]
    begin = random.uniform(0, 2 * math.pi)
    for arm in range(number):
        angle = begin + 2 * math.pi * arm / number
        x, y = reach * math.cos(angle), reach * math.sin(angle)
        end = (x, y, 2 * castor + 0.015)
        solids.append(stick((0, 0, hub), end, (0.024, 0.014), plan.frame, 6))
        if castor:
            aside = (-0.018 * math.sin(angle), 0.018 * math.cos(angle))
            solids.append(
                stick(
                    (x - aside[0], y - aside[1], castor),
                    (x + aside[0], y + aside[1], castor),
                    castor,
                    dark,
                    10,
                )
            )
    return solids


def _back(plan: Plan, random: np.random.Generator) -> list[Solid]:
    if plan.style == "none":
        return []
    x, y = plan.width / 2, -plan.depth / 2 + plan.bar
    low, high = plan.seat - plan.thick / 2, plan.seat + plan.back
    thick = plan.bar * random.uniform(0.6, 1.0)
    if plan.style == "curved":
        return _curved(plan, random)

    def beam(left: float, right: float, start: float, stop: float, depth: float) -> Solid:
        """A bar between two x and two fractions of the back's height, leaning with it."""
        at, rise = y - start * plan.lean, high - low
        return slab(
            (left, at - depth, low + start * rise),
            (right, at + depth, low + stop * rise),
            plan.cloth if plan.style in {"panel", "frame"} else plan.frame,
            shift=(0.0, -(stop - start) * plan.lean),
        )

    wide = random.uniform(0.85, 1.0) * x
    if plan.style == "panel":
        gap = random.choice([0.0, random.uniform(0.15, 0.4)])
        depth = random.uniform(0.03, 0.06) if plan.legs == "block" else thick
        panel = beam(-wide, wide, gap, 1.0, depth)
        stems = [
            beam(a - 0.03, a + 0.03, 0.0, gap + 0.05, 0.7 * depth)
            for a in (-wide / 2, wide / 2)
        ]
        return [panel, *stems] if gap else [panel]
    posts = [
        stick((a, y, low), (a, y - plan.lean, high), plan.bar, plan.frame, plan.sides)
        for a in (plan.bar - wide, wide - plan.bar)
    ]
    top = random.uniform(0.08, 0.22)
    rail = beam(-wide, wide, 1 - top, 1.0 + random.uniform(0, 0.04), thick)
    if plan.style == "frame":
        share = random.uniform(0.2, 0.5)
        return [*posts, beam(-wide, wide, share, share + random.uniform(0.3, 0.45), thick)]
    if plan.style == "ladder":
        number = int(random.integers(2, 6))
        half = random.uniform(0.15, 0.35) / number
        rungs = [
            beam(-wide, wide, max(at - half, 0.02), min(at + half, 1.0), thick)
            for at in (np.arange(number) + 1) / number - half
        ]
        return posts + rungs
    number = int(random.integers(2, 5) if plan.style == "slats" else random.integers(4, 8))
    gaps = np.linspace(-wide, wide, number + 2)[1:-1]
    half = (
        random.uniform(0.2, 0.38) * 2 * wide / (number + 1) if plan.style == "slats" else 0.008
    )
    return [
        *posts,
        rail,
        *(beam(a - half, a + half, 0.02, 1 - top / 2, 0.7 * thick) for a in gaps),
    ]


def _curved(plan: Plan, random: np.random.Generator) -> list[Solid]:
    """A curved back, made of flat pieces that overlap a little."""
    turn, thick = random.uniform(0.6, 1.5), random.uniform(0.012, 0.03)
    radius = plan.width / 2 / math.sin(min(turn, math.pi / 2))
    middle = -plan.depth / 2 + radius + thick
    gap = random.choice([0.0, random.uniform(0.1, 0.3)])
    low, high = plan.seat - plan.thick / 2, plan.seat + plan.back
    start = low + gap * (high - low)
    pieces = 9
    edges = np.linspace(-turn, turn, pieces + 1)
    solids: list[Solid] = []
    for a, b in zip(edges - 0.01, edges[1:] + 0.01, strict=False):
        corners = [(radius, a), (radius + thick, a), (radius + thick, b), (radius, b)]
        flat = [(r * math.sin(t), middle - r * math.cos(t)) for r, t in corners]
        rings = [
            [(px, py - share * plan.lean, start + share * (high - start)) for px, py in flat]
            for share in (0.0, 1.0)
        ]
        solids.append(loft(rings, plan.cloth))
    if gap:
        for t in (-0.5 * turn, 0.5 * turn):
            px, py = (
                (radius + thick / 2) * math.sin(t),
                middle - (radius + thick / 2) * math.cos(t),
            )
            solids.append(stick((px, py, low), (px, py, start + 0.03), plan.bar, plan.frame))
    return solids


def _arms(plan: Plan, random: np.random.Generator) -> list[Solid]:
    x, height = plan.width / 2, plan.seat + random.uniform(0.14, 0.26)
    back, front = -plan.depth / 2, plan.depth / 2 * random.uniform(0.6, 1.0)
    thick = random.uniform(0.015, 0.03)
    if plan.legs == "block" or random.random() < 0.25:
        thick = random.uniform(0.03, 0.1) if plan.legs == "block" else thick
        floor = random.choice([0.02, plan.seat - plan.thick])
        return [
            slab((a - thick, back, floor), (a + thick, front, height), plan.cloth)
            for a in (-x, x)
        ]
    solids: list[Solid] = []
    for a in (-x, x):
        post = front - random.uniform(0.03, 0.1)
        solids += [
            slab(
                (a - thick, back - 0.3 * plan.lean, height - 0.02),
                (a + thick, front, height + 0.01),
                plan.frame,
            ),
            stick(
                (0.97 * a, post, plan.seat - plan.thick / 2),
                (a, post, height - 0.005),
                0.8 * plan.bar,
                plan.frame,
                plan.sides,
            ),
        ]
    return solids

"""Procedural families of shapes that need no files: chairs, tables, lamps and cars.

Each shape is a union of convex solids generated from a seed, in the cube [-0.5, 0.5]³ with a
longest side of 1. z is up, and the front, if there is one, is at +y.
"""

from collections.abc import Callable

import numpy as np

from unrender.data.builtin.families.cars import car
from unrender.data.builtin.families.chairs import chair
from unrender.data.builtin.families.lamps import lamp
from unrender.data.builtin.families.solids import Solid, Union
from unrender.data.builtin.families.tables import table
from unrender.errors import InputError

FAMILIES: dict[str, Callable[[np.random.Generator], list[Solid]]] = {
    "chair": chair,
    "table": table,
    "lamp": lamp,
    "car": car,
}


def make_shape(family: str, seed: int) -> Union:
    """The shape of a family for a seed. InputError if `family` is not in `FAMILIES`."""
    if family not in FAMILIES:
        raise InputError(
            f"{family}: no such family of shapes; choose from {', '.join(FAMILIES)}"
        )
    return Union.of(FAMILIES[family](np.random.default_rng(seed)))

"""Families of shapes that need no files: thousands of chairs, tables, lamps and cars.

Each is a union of convex solids, drawn from a seed, in the cube [-0.5, 0.5]³ with its longest
side 1. z is up, and what has a front has it at +y.
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
    """The shape of that number in its family, always the same. InputError for other names."""
    if family not in FAMILIES:
        raise InputError(
            f"{family}: no such family of shapes; choose from {', '.join(FAMILIES)}"
        )
    return Union.of(FAMILIES[family](np.random.default_rng(seed)))

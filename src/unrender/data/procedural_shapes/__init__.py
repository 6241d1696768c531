"""Families of shapes that need no files: thousands of chairs, tables, lamps and cars.

Each is a union of convex solids, drawn from a seed, in the cube [-0.5, 0.5]³ with its longest
side 1. z is up, and what has a front has it at +y.
"""

from collections.abc import Callable

import numpy as np

from unrender.data.procedural_shapes.cars import car
from unrender.data.procedural_shapes.chairs import chair
from unrender.data.procedural_shapes.lamps import lamp
from unrender.data.procedural_shapes.solids import Solid, Union
from unrender.data.procedural_shapes.tables import table
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

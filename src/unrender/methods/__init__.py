"""Every method by name. A name is a value: variants are options, not classes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from unrender.errors import InputError
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.pose_regressor import PoseRegressor
from unrender.methods.sit import SIT_METHODS
from unrender.methods.sit_gaussian import SiTGaussian
from unrender.training.method import Method

AnyMethod = Method[Any, Any]

METHODS: dict[str, AnyMethod] = {
    "instant-ngp": InstantNGP(),
    "instant-ngp-tiny": InstantNGP(log2_table_size=15, finest=200, color_layers=1),
    **SIT_METHODS,
    "sit-gaussian": SiTGaussian(),
    "pose-regressor": PoseRegressor(),
}


def describe(method: AnyMethod) -> dict[str, object]:
    """A method as config.json holds it: the first name of its type, and all options."""
    name = next(name for name, preset in METHODS.items() if type(preset) is type(method))
    assert dataclasses.is_dataclass(method)
    return {"name": name, "options": dataclasses.asdict(method)}


def from_description(description: object, source: str) -> AnyMethod:
    """The method that `describe` described; `source` is the file, for messages."""
    remedy = "use the version of unrender that wrote it"
    if not isinstance(description, Mapping):
        raise InputError(f"{source}: names no method: {remedy}")
    name, options = description.get("name"), description.get("options")
    if name not in METHODS or not isinstance(options, Mapping):
        raise InputError(f"{source}: method {name!r:.60} is not known: {remedy}")
    preset = METHODS[name]
    assert dataclasses.is_dataclass(preset)
    known = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
    if set(options) != set(known):
        odd = sorted(set(options) ^ set(known))
        raise InputError(f"{source}: options {odd} of {name} differ: {remedy}")
    for key, value in options.items():
        if type(value) is not type(known[key]) and not (
            isinstance(value, int | float) and isinstance(known[key], float)
        ):
            raise InputError(f"{source}: option {key} of {name} is {value!r:.60}: {remedy}")
    return dataclasses.replace(preset, **options)

"""Methods as config.json of a run folder describes them. Nothing here imports torch."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unrender.errors import InputError
from unrender.methods.presets.preset import BASES, method_class
from unrender.methods.presets.renamed import ADDED_OPTIONS, RENAMED, RENAMED_OPTIONS

if TYPE_CHECKING:
    from unrender.training.method import Method

REMEDY = "use the version of unrender that wrote it"


def describe(method: "Method[Any, Any]", preset: str | None = None) -> dict[str, Any]:
    """A method as config.json holds it: its name, the preset it came from, and its options."""
    kind = type(method)
    place = f"{kind.__module__.rsplit('.', 1)[-1]}:{kind.__name__}"
    name = next((name for name, (value, _) in BASES.items() if value == place), kind.__name__)
    assert dataclasses.is_dataclass(method)
    return {"name": name, "preset": preset or name, "options": dataclasses.asdict(method)}


def from_description(description: object, source: str) -> "Method[Any, Any]":
    """The method that `describe` described; `source` is the file, for messages.

    Options are also known by the names that they had before. Raises InputError.
    """
    if not isinstance(description, Mapping):
        raise InputError(f"{source}: names no method: {REMEDY}")
    name, options = description.get("name"), description.get("options")
    name = RENAMED.get(name, name) if isinstance(name, str) else None
    if not isinstance(name, str) or name not in BASES or not isinstance(options, Mapping):
        raise InputError(f"{source}: method {name!r:.60} is not known: {REMEDY}")
    kind = method_class(str(name))
    defaults = kind()
    assert dataclasses.is_dataclass(defaults)
    fields = dataclasses.fields(defaults)
    known = {field.name: getattr(defaults, field.name) for field in fields}
    given = {
        key if key in known else RENAMED_OPTIONS.get(str(key), str(key)): value
        for key, value in options.items()
    }
    later = {key: known[key] for key in ADDED_OPTIONS.get(str(name), ()) if key not in given}
    given |= later
    if set(given) != set(known):
        odd = sorted(set(given) ^ set(known))
        raise InputError(f"{source}: options {odd} of {name} differ: {REMEDY}")
    for key, value in given.items():
        if type(value) is not type(known[key]) and not (
            isinstance(value, int | float) and isinstance(known[key], float)
        ):
            raise InputError(f"{source}: option {key} of {name} is {value!r:.60}: {REMEDY}")
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error

"""Options read from a run's config.json, of which nothing is believed."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from unrender.errors import InputError
from unrender.files import shown

Options = TypeVar("Options")


def recorded_options(kind: type[Options], values: Mapping[str, Any], label: str) -> Options:
    """A dataclass of options from the values of its fields; others are left out.

    InputError, whose message `label` begins, for a value that is not of its field's type or in
    its range.
    """
    assert dataclasses.is_dataclass(kind)
    hints, given = get_type_hints(kind), dict[str, Any]()
    for field in dataclasses.fields(kind):
        if field.name in values:
            value = values[field.name]
            # JSON has lists where options have tuples.
            value = tuple(value) if isinstance(value, list) else value
            if not _is_a(value, hints[field.name]):
                raise InputError(f"{label}: {field.name} is {shown(value)}; correct it")
            given[field.name] = value
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{label}: {error}") from error


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a plain, literal, optional or tuple type, as options have them."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is_a(value, each) for each in inner)
    if origin is Literal:
        return isinstance(value, str | int) and value in inner
    if origin is tuple:
        return isinstance(value, tuple) and _are(value, inner)
    plain = {float: (int, float), int: (int,)}.get(hint)
    if plain is not None:
        return isinstance(value, plain) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _are(values: tuple[Any, ...], kinds: tuple[Any, ...]) -> bool:
    kinds = kinds[:1] * len(values) if kinds[-1] is Ellipsis else kinds
    return len(values) == len(kinds) and all(map(_is_a, values, kinds))

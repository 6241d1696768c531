"""Values of a command's options from what was typed; errors in plain words."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from unrender.app.options import REQUIRED, Option
from unrender.errors import InputError
from unrender.methods.presets.renamed import RENAMED_OPTIONS
from unrender.ranges import check_range

MAX_NUMBER = 60
"""Characters of a number."""
SWITCHED = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse(
    options: Sequence[Option], arguments: Sequence[str], program: str, usage: str
) -> dict[str, Any]:
    """Keyword arguments for the command's function: what was typed, and the defaults.

    `program` is what the messages name, such as "unrender fit". Raises InputError with one line
    that says what is wrong and what to type instead.
    """
    given: dict[tuple[str | None, str], Any] = {}
    positional: list[str] = []
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        if token == "--":
            positional += rest
            break
        if not _is_flag(token):
            positional.append(token)
            continue
        name, equals, attached = token.partition("=")
        if re.fullmatch(r"-[a-zA-Z].+", name) and not equals:  # -ofile
            name, equals, attached = name[:2], "=", name[2:]
        option, negated = _find(options, name, program)
        if equals:
            rest.insert(0, attached)
        value = _take(option, name, negated, rest, bool(equals))
        if option.limits is not None and value is not option.words.bare:
            check_range(name, value, option.limits)
        given[option.owner, option.name] = value
    for option, value in _placed(options, positional, program, usage).items():
        given[None, option] = value
    _check_complete(options, given, usage)
    return _grouped(options, given)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a message: ": did you mean render?", or nothing."""
    close = get_close_matches(name, known, n=2, cutoff=0.6)
    return f": did you mean {' or '.join(close)}?" if close else ""


def convert(kind: Any, text: str, flag: str) -> Any:
    """A typed word as a value. InputError."""
    if typing.get_origin(kind) is Literal:
        choices = [str(each) for each in typing.get_args(kind)]
        if text not in choices:
            hint = did_you_mean(text, choices)
            raise InputError(f"{flag}: {text!r} is not one of {', '.join(choices)}{hint}")
        return text
    if kind is Path:
        if not text:
            raise InputError(f"{flag}: the path is empty")
        return Path(text)
    if kind is bool:
        if text.lower() not in SWITCHED:
            raise InputError(f"{flag}: {text!r} is neither true nor false")
        return SWITCHED[text.lower()]
    try:
        if kind in (int, float) and len(text) > MAX_NUMBER:
            raise ValueError
        return kind(text)
    except ValueError:
        what = {int: "a whole number", float: "a number"}[kind]
        raise InputError(f"{flag}: {text[:MAX_NUMBER]!r} is not {what}") from None


def color_of(words: tuple[str, ...]) -> str | tuple[float, ...]:
    """The color of --background: a name, or three numbers. InputError."""
    if len(words) == 1:
        return words[0]
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(0 <= value <= 1 for value in numbers):
        raise InputError(
            f"--background {' '.join(words)}: give a color's name or three numbers from 0 to 1"
        )
    return numbers


def _is_flag(token: str) -> bool:
    """Whether a word is an option, not a value: -0.5 and -1e-3 are numbers."""
    return len(token) > 1 and token[0] == "-" and not re.match(r"-\.?\d", token)


def _find(options: Sequence[Option], name: str, program: str) -> tuple[Option, bool]:
    """The option of that name, and whether it is its opposite, --no-NAME. InputError."""
    spelled = name.replace("_", "-")
    for option in options:
        if option.answers(spelled):
            return option, False
        if option.kind is bool and spelled == "--no-" + option.flag[2:]:
            return option, True
    known = [option.flag[2:] for option in options if not option.positional]
    word = spelled.lstrip("-")
    newer = RENAMED_OPTIONS.get(word.replace("-", "_"), "").replace("_", "-")
    if newer in known:
        hint = f": did you mean --{newer}?"
    else:
        close = get_close_matches(word, known, n=2, cutoff=0.6)
        hint = f": did you mean {' or '.join(f'--{each}' for each in close)}?" if close else ""
    hint = hint or f": `{program} --help` lists all of them"
    raise InputError(f"{name}: {program} has no such option{hint}")


def _take(option: Option, name: str, negated: bool, rest: list[str], attached: bool) -> Any:
    """The values that follow an option, taken off `rest`."""
    if option.kind is bool:
        if attached and not negated:
            return convert(bool, rest.pop(0), name)
        return not negated
    if option.words.bare is not REQUIRED and not (rest and (attached or not _is_flag(rest[0]))):
        return option.words.bare
    if typing.get_origin(option.kind) is not tuple:
        if not rest or (_is_flag(rest[0]) and not attached):
            raise InputError(f"{name}: needs a value: {name} {option.metavar}")
        return convert(option.kind, rest.pop(0), name)
    kinds = typing.get_args(option.kind)
    words: list[str] = []
    while (
        rest
        and (attached or not _is_flag(rest[0]))
        and (option.many or len(words) < len(kinds))
    ):
        words.append(rest.pop(0))
        attached = False
    if option.many and words:
        return tuple(convert(kinds[0], word, name) for word in words)
    if option.many:
        raise InputError(f"{name}: needs a value: {name} {option.metavar}")
    if len(words) != len(kinds):
        raise InputError(
            f"{name}: needs {len(kinds)} values, not {len(words)}: {name} {option.metavar}"
        )
    return tuple(convert(kind, word, name) for kind, word in zip(kinds, words, strict=True))


def _placed(
    options: Sequence[Option], words: list[str], program: str, usage: str
) -> dict[str, Any]:
    """Positional arguments by their names. InputError."""
    found: dict[str, Any] = {}
    left = list(words)
    for option in options:
        if not option.positional or not left:
            continue
        if option.many:
            kind = typing.get_args(option.kind)[0]
            found[option.name] = tuple(convert(kind, word, option.flag) for word in left)
            left = []
        else:
            found[option.name] = convert(option.kind, left.pop(0), option.flag)
    if left:
        raise InputError(
            f"{left[0]!r}: {program} does not expect this argument; usage: {usage}"
        )
    return found


def _check_complete(
    options: Sequence[Option], given: dict[tuple[str | None, str], Any], usage: str
) -> None:
    for option in options:
        missing = option.required and (option.owner, option.name) not in given
        if missing and option.positional:
            raise InputError(f"{option.flag} is missing; usage: {usage}")
        if missing:
            raise InputError(f"{option.flag} {option.metavar} is missing; usage: {usage}")


def _grouped(
    options: Sequence[Option], given: dict[tuple[str | None, str], Any]
) -> dict[str, Any]:
    """Keyword arguments: fields of one dataclass come as one dictionary, `OWNER`."""
    values: dict[str, Any] = {}
    for option in options:
        value = given.get((option.owner, option.name), option.default)
        if option.owner is None:
            values[option.name] = value
        else:
            values.setdefault(option.owner, {})[option.name] = value
    return values


def with_dataclasses(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `parse` with the dataclasses that the function expects."""
    parameters = inspect.signature(function).parameters
    return {
        name: dataclasses.replace(parameters[name].default, **value)
        if name in parameters and dataclasses.is_dataclass(parameters[name].default)
        else value
        for name, value in values.items()
    }

"""Options of a command, as its function's signature and docstring describe them.

A command is a plain function with type hints, defaults and an `Args:` section; a parameter
whose type is a dataclass stands for the options that its fields are. Nothing here imports
torch.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from unrender.ranges import Range, declared

REQUIRED: Any = object()
"""The default of what has none."""
SHORT = {"data": "-d", "out": "-o", "minutes": "-m", "steps": "-n", "quiet": "-q"}
METAVARS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
SECTIONS = ("Args:", "Examples:")


@dataclass(frozen=True)
class Words:
    """What a type hint does not say, for `Annotated`."""

    metavar: str | None = None
    """Stands for the value in the help."""
    positional: bool = False
    flag: str | None = None
    """The option's name, where it is not the parameter's."""
    hidden: tuple[str, ...] = ()
    """Further spellings, which the help does not show."""
    bare: Any = REQUIRED
    """The value of an option that is given without one."""
    box: str | None = None
    """Title of the box that holds the option in the help."""


@dataclass(frozen=True)
class Option:
    """One option, or one positional argument."""

    name: str
    """The parameter, or the field of the parameter `owner`."""
    kind: Any
    """Type of its value; `X | None` is X."""
    default: Any
    text: str
    words: Words = Words()
    box: str = "options"
    owner: str | None = None
    limits: Range | None = None
    """What a number may be."""

    @property
    def positional(self) -> bool:
        return self.words.positional

    @property
    def flag(self) -> str:
        """As it is typed: "--log-every"; of a positional argument its metavar."""
        if self.positional:
            return self.words.metavar or self.name.upper()
        return "--" + (self.words.flag or self.name).strip("_").replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        """Its spellings in the help, the short one first."""
        if self.positional:
            return ()
        short = SHORT.get(self.name)
        return (*((short,) if short else ()), self.flag)

    def answers(self, flag: str) -> bool:
        """Whether this is one of its spellings."""
        return flag in self.flags or flag in self.words.hidden

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def many(self) -> bool:
        """Whether it takes any number of values."""
        arguments = typing.get_args(self.kind)
        return typing.get_origin(self.kind) is tuple and arguments[-1:] == (Ellipsis,)

    @property
    def metavar(self) -> str:
        """What stands for its value in the help."""
        if self.words.metavar is not None or self.positional:
            return self.words.metavar or self.name.upper()
        if self.kind is bool:
            return ""
        if typing.get_origin(self.kind) is Literal:
            return "|".join(map(str, typing.get_args(self.kind)))
        if typing.get_origin(self.kind) is tuple:
            first, *rest = typing.get_args(self.kind)
            each = METAVARS[first]
            return f"{each} ..." if self.many else f"{1 + len(rest)} {each}S"
        return METAVARS[self.kind]


@dataclass(frozen=True)
class Description:
    """A docstring: what a command does, its arguments, and examples."""

    summary: str
    text: str
    arguments: dict[str, str]
    examples: tuple[str, ...]


def describe(docstring: str | None) -> Description:
    """The parts of a docstring with `Args:` and `Examples:`."""
    parts: dict[str, list[str]] = {"": []}
    current = ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        if line in SECTIONS:
            current = line
            parts[current] = []
        else:
            parts[current].append(line)
    summary, _, rest = "\n".join(parts[""]).strip().partition("\n\n")
    arguments: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent("\n".join(parts.get("Args:", []))).splitlines():
        begin = re.match(r"\**(\w+): (.*)", line)
        if begin:
            name = begin[1]
            arguments[name] = begin[2]
        elif name and line.strip():
            arguments[name] += f" {line.strip()}"
    shown = textwrap.dedent("\n".join(parts.get("Examples:", []))).strip().splitlines()
    return Description(" ".join(summary.split()), rest.strip(), arguments, tuple(shown))


def options_of(function: Callable[..., Any]) -> list[Option]:
    """The options of a command's function, in the order of its parameters."""
    hints = typing.get_type_hints(function, include_extras=True)
    texts = describe(function.__doc__).arguments
    found: list[Option] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        kind, words = _plain(hints[name])
        if dataclasses.is_dataclass(kind):
            box = words.box or name
            found += fields_of(kind, parameter.default, box, name)
        else:
            box = words.box or ("arguments" if words.positional else "options")
            text = texts.get(name, "")
            default = parameter.default
            if default is inspect.Parameter.empty:
                default = REQUIRED
            limits = declared(name, hints[name])
            found.append(Option(name, kind, default, text, words, box, limits=limits))
    return found


def fields_of(
    kind: Any, values: Any, box: str, owner: str | None = None, without: Sequence[str] = ()
) -> list[Option]:
    """An option for each field of a dataclass, with the values of an instance as defaults."""
    hints = typing.get_type_hints(kind, include_extras=True)
    texts = field_texts(kind)
    found: list[Option] = []
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        plain, words = _plain(hints[field.name])
        default = getattr(values, field.name)
        text = texts.get(field.name, "")
        limits = declared(field.name, hints[field.name])
        found.append(Option(field.name, plain, default, text, words, box, owner, limits))
    return found


def combined(options: Sequence[Option], more: Sequence[Option]) -> list[Option]:
    """Both, where those of one box stand together; one of the same name is replaced."""
    newer = {option.name: option for option in more}
    every = [newer.pop(option.name, option) for option in options] + list(newer.values())
    boxes = list(dict.fromkeys(option.box for option in every))
    return sorted(every, key=lambda option: boxes.index(option.box))


def field_texts(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, by the fields' names."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def _plain(hint: Any) -> tuple[Any, Words]:
    """A type hint without `Annotated` and `| None`."""
    words = Words()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *extras = typing.get_args(hint)
        words = next((each for each in extras if isinstance(each, Words)), words)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    return hint, words

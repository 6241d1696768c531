"""Every numeric option of every method and command has a range; what is outside is refused."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from unrender.app.cli import COMMANDS, load
from unrender.app.layout import option_row
from unrender.app.options import Option, fields_of, options_of
from unrender.app.parsing import parse
from unrender.data.load import LoadOptions
from unrender.errors import InputError
from unrender.methods.presets import PRESETS
from unrender.methods.presets.preset import BASES, method_class
from unrender.ranges import FLOAT, WHOLE, Range, check_ranges, ranges_of
from unrender.training.options import FitOptions

pytestmark = pytest.mark.fit  # Types are checked by the ranges here.

ODD = (math.nan, math.inf, -math.inf, -1, 0, 1e300, 10**30, -(10**400))
CLASSES = {name: method_class(name) for name in BASES}


def numeric(kind: Any) -> Iterator[tuple[str, Range]]:
    yield from ranges_of(kind).items()


@pytest.mark.parametrize("name", CLASSES)
def test_an_option_outside_its_range_is_refused(name: str) -> None:
    kind = CLASSES[name]
    for option, limits in numeric(kind):
        for value in ODD:
            if limits.fault(value) is None:
                assert math.isfinite(value)
                continue
            with pytest.raises(InputError, match=rf"^{option} ") as caught:
                kind(**{option: value})
            assert len(str(caught.value)) < 120


@pytest.mark.parametrize("name", CLASSES)
def test_the_range_of_an_option_is_declared(name: str) -> None:
    """A new option gets a range in its type, or an entry by its name."""
    undeclared = [key for key, limits in numeric(CLASSES[name]) if limits in (WHOLE, FLOAT)]
    assert not undeclared


def test_every_preset_is_within_the_ranges() -> None:
    for name, preset in PRESETS.items():
        assert preset.method() is not None, name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": math.nan}, "minutes nan: give a finite number, above 0"),
        ({"minutes": 0.0}, "minutes 0: give more than 0"),
        ({"log_every": 0}, "log_every 0: give at least 1"),
        ({"steps": -5}, "steps -5: give at least 0"),
        ({"seed": 2**64}, "seed 18446744073709551616: give at most 2^63"),
    ],
)
def test_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        FitOptions(**options)
    assert str(caught.value).startswith(message)


def every_option() -> Iterator[tuple[str, Option]]:
    for name in COMMANDS:
        for option in options_of(load(name)[0]):
            yield name, option
    for name, kind in CLASSES.items():
        for option in fields_of(kind, kind(), name):
            yield f"fit {name}", option
    for option in fields_of(LoadOptions, LoadOptions(), "data"):
        yield "fit", option


def refusal(options: list[Option], words: list[str], program: str) -> str | None:
    try:
        parse(options, words, program, "")
    except InputError as error:
        return str(error)
    return None


def test_the_command_line_refuses_the_same_in_one_line() -> None:
    words = ("nan", "inf", "-1", "0", "1e300", "9" * 5000, "-" + "9" * 50, "", "0x1", "1_0")
    for command, option in every_option():
        if option.limits is None or option.positional:
            continue
        many = 1 if option.kind in (int, float) else 4
        for word in words:
            found = refusal([option], [option.flag, *[word] * many], f"unrender {command}")
            if found is None:
                assert math.isfinite(float(word)), (command, option.flag, word)
            else:
                assert found.isprintable()
                assert len(found) <= 300


@pytest.mark.parametrize("options", [{"heads": 5}, {"width": 30, "heads": 3}])
def test_heads_divide_the_width(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="give a multiple of 4 and of the"):
        CLASSES["sit"](**options)


def test_the_help_shows_ranges() -> None:
    (option,) = (each for _, each in every_option() if each.name == "log2_table_size"
                 and each.owner is None and each.box == "instant-ngp")  # fmt: skip
    assert option_row(option)[1].endswith("(1 to 26; default: 17)")


def test_a_range_in_the_type_is_taken() -> None:
    @dataclasses.dataclass(frozen=True)
    class Options:
        width: Annotated[int, Range(3, 5)] = 4
        share: Annotated[float | None, Range(0, 1, above=True)] = None

        def __post_init__(self) -> None:
            check_ranges(self)

    Options(5, 0.5)
    for bad in ((2,), (6,), (4, 0.0), (4, 1.5), (True,), ("4",)):
        with pytest.raises(InputError):
            Options(*bad)  # pyright: ignore[reportArgumentType]

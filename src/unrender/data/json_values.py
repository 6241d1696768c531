"""Numbers and matrices of a JSON file that anyone may have written."""

from typing import Any, cast

from unrender.errors import InputError

LARGEST = 1e30
"""What is larger is damage, and may be infinite in single precision."""


def number(label: str, what: str, value: Any) -> float:
    """The value, if it is a number; InputError, in which `label` and `what` name it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{label}: {what} is {shown(value)}, not a number; correct it")
    try:
        return float(value)
    except OverflowError as error:
        # A whole number in JSON may be larger than any float.
        raise InputError(f"{label}: {what} is too large; correct it") from error


def finite_number(label: str, what: str, value: Any) -> float:
    """The value, if it is a finite number. InputError."""
    found = number(label, what, value)
    if not -LARGEST < found < LARGEST:
        raise InputError(f"{label}: {what} is {found}; it must be finite")
    return found


def matrix_4x4(label: str, what: str, value: Any) -> list[list[float]]:
    """Four rows of four numbers, which `check_poses` asks to be finite. InputError."""
    rows = cast(list[Any], value) if isinstance(value, list) else []
    if len(rows) != 4 or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise InputError(f"{label}: {what} is not 4x4; give four rows of four")
    return [[number(label, f"an entry of {what}", entry) for entry in row] for row in rows]


def shown(value: Any) -> str:
    """A value of unknown type and length, short enough for one line."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

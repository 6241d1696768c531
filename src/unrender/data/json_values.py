"""Numbers and matrices of a JSON file that anyone may have written."""

from typing import Any, cast

from unrender.errors import InputError

LARGEST = 1e30
"""What is larger is damage, and may be infinite in single precision."""


def finite_number(label: str, what: str, value: Any) -> float:
    """The value, if it is a finite number; InputError, in which `label` and `what` name it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{label}: {what} is {shown(value)}, not a number; correct it")
    # A whole number in JSON may be larger than any float.
    if not -LARGEST < value < LARGEST:
        raise InputError(f"{label}: {what} is {shown(value)}; it must be finite")
    return float(value)


def matrix_4x4(label: str, what: str, value: Any) -> list[list[float]]:
    """Four rows of four finite numbers. InputError."""
    rows = cast(list[Any], value) if isinstance(value, list) else []
    if len(rows) != 4 or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise InputError(f"{label}: {what} is not 4x4; give four rows of four")
    return [
        [finite_number(label, f"an entry of {what}", entry) for entry in row] for row in rows
    ]


def shown(value: Any) -> str:
    """A value of unknown type and length, short enough for one line."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

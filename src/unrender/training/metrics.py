"""Reading of metrics.jsonl, the training log of a run."""

from pathlib import Path

from unrender.errors import InputError
from unrender.files import json_object, read_text

Entry = dict[str, float]
"""One line of metrics.jsonl: `step`, `seconds`, `loss` and further metrics of the method."""


def read_metrics(path: Path) -> list[Entry]:
    """The entries of a metrics.jsonl, oldest first; empty if the file does not exist.

    A last line without a line break was truncated by an interruption and is ignored. Raises
    InputError if any other line is not a JSON object of numbers.
    """
    if not path.exists():
        return []
    lines = read_text(path).split("\n")
    # Every complete line ends in a line break: text after the last one is truncated.
    numbered = enumerate(lines[:-1], start=1)
    return [_entry(f"{path}:{number}", line) for number, line in numbered if line.strip()]


def columns(entries: list[Entry], x: str, y: str) -> tuple[list[float], list[float]]:
    """The values of two columns, from the entries that have both."""
    both = [entry for entry in entries if x in entry and y in entry]
    return [entry[x] for entry in both], [entry[y] for entry in both]


def _entry(place: str, line: str) -> Entry:
    content = json_object(place, line, "delete this line")
    if not all(isinstance(value, int | float) for value in content.values()):
        raise InputError(f"{place}: is not an object of numbers: delete this line")
    try:
        return {name: float(value) for name, value in content.items()}
    except OverflowError as error:
        raise InputError(f"{place}: contains a number too large: delete this line") from error

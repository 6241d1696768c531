"""Reading of metrics.jsonl, the training log of a run."""

import math
from collections.abc import Iterator
from pathlib import Path

from unrender.errors import InputError
from unrender.files import LARGEST, json_object, number, read_text

Entry = dict[str, float]
"""One line of metrics.jsonl: `step`, `seconds`, `loss` and further metrics of the method."""


def read_metrics(path: Path) -> list[Entry]:
    """The entries of a metrics.jsonl, oldest first; empty if the file does not exist.

    A last line without a line break was truncated by an interruption and is ignored. Raises
    InputError if any other line is not a JSON object of finite numbers.
    """
    if not path.exists():
        return []
    return [entry for entry, _ in _numbered(path)]


def lines_until(path: Path, step: int) -> list[str]:
    """The lines of a metrics.jsonl about steps up to `step`. InputError as `read_metrics`."""
    return [line for entry, line in _numbered(path) if entry.get("step", math.inf) <= step]


def columns(entries: list[Entry], x: str, y: str) -> tuple[list[float], list[float]]:
    """The values of two columns, from the entries that have both."""
    both = [entry for entry in entries if x in entry and y in entry]
    return [entry[x] for entry in both], [entry[y] for entry in both]


def _numbered(path: Path) -> Iterator[tuple[Entry, str]]:
    """Each entry with its line."""
    # Every complete line ends in a line break: text after the last one is truncated.
    for k, line in enumerate(read_text(path).split("\n")[:-1], start=1):
        if line.strip():
            yield _entry(f"{path}:{k}", line), line


def _entry(place: str, line: str) -> Entry:
    content = json_object(place, line, "delete this line")
    try:
        entry = {name: number(place, f"{name:.40}", x) for name, x in content.items()}
    except InputError as error:
        raise InputError(f"{error}, or delete this line") from error
    least, most = -LARGEST, LARGEST
    counts = [entry.get(name, 0.0) for name in ("step", "seconds")]
    if not all(map(math.isfinite, entry.values())) or not all(least < x < most for x in counts):
        raise InputError(f"{place}: has numbers that are not finite: delete this line")
    return entry

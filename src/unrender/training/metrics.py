"""What a run logged while it was fitted."""

import json
from pathlib import Path

from unrender.errors import InputError

MAX_BYTES = 100_000_000

Entry = dict[str, float]
"""One line of metrics.jsonl: `step`, `seconds`, `loss` and whatever else the method says."""


def read_metrics(path: Path) -> list[Entry]:
    """The lines of a metrics.jsonl, oldest first; none if nothing was logged yet.

    A last line that a kill cut short is left out. InputError for anything else that is not an
    object of numbers.
    """
    try:
        if not path.exists():
            return []
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes is more than the {MAX_BYTES} a log may "
                "have: delete lines in its middle"
            )
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): make it readable"
        ) from error
    # Each complete line ends in a line break, so what follows the last one was cut short.
    numbered = enumerate(lines[:-1], start=1)
    return [_entry(f"{path}:{number}", line) for number, line in numbered if line.strip()]


def columns(entries: list[Entry], x: str, y: str) -> tuple[list[float], list[float]]:
    """The values of two columns, from the lines that have both."""
    both = [entry for entry in entries if x in entry and y in entry]
    return [entry[x] for entry in both], [entry[y] for entry in both]


def _entry(place: str, line: str) -> Entry:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is not valid JSON: delete this line") from error
    if not isinstance(content, dict) or not all(
        isinstance(value, int | float) for value in content.values()
    ):
        raise InputError(f"{place}: is not an object of numbers: delete this line")
    try:
        return {name: float(value) for name, value in content.items()}
    except OverflowError as error:
        raise InputError(f"{place}: holds too large a number: delete this line") from error

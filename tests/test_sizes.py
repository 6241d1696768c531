"""Modules stay short enough to be read: 400 lines at most, 300 for a method."""

from pathlib import Path

import pytest
from inputs import ROOT

SOURCE = ROOT / "src" / "unrender"
MODULE_LINES, METHOD_LINES = 400, 300
LISTS = ("presets.py", "listing.py", "renamed.py")
"""Tables beside the methods."""


def excess(path: Path, source: str) -> str | None:
    """What is too long about a file at `path`, relative to the package."""
    a_method = path.parts[0] == "methods" and path.name not in LISTS
    limit = METHOD_LINES if a_method else MODULE_LINES
    count = len(source.splitlines())
    return f"{path}: {count} lines, {limit} at most" if count > limit else None


def test_modules_are_short() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert files
    reports = [excess(file.relative_to(SOURCE), file.read_text()) for file in files]
    too_long = [report for report in reports if report]
    assert not too_long, "\n".join(too_long)


@pytest.mark.parametrize(
    ("path", "lines", "fits"),
    [
        ("data/a.py", 400, True),
        ("data/a.py", 401, False),
        ("methods/a.py", 300, True),
        ("methods/a.py", 301, False),
    ],
)
def test_the_limit_can_be_broken(path: str, lines: int, fits: bool) -> None:
    assert (excess(Path(path), "x = 1\n" * lines) is None) == fits

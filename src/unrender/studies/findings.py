"""Results of a study, and how they are written as Markdown, CSV and images."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from unrender.files import replacing, write_atomically
from unrender.report.pictures import Row, draw_picture
from unrender.report.plots import STYLE, resized
from unrender.training.record import processor, provenance

DOTS_AN_INCH = 200
PLOT_SIZE = (6.4, 3.8)
"""Size of a single plot in inches, with room for long labels in the legend."""

Cell = str | float | int | None
Record = Mapping[str, Cell]


@dataclass(frozen=True)
class Plot:
    """A plot, the name of its file, and its caption."""

    name: str
    drawing: Figure
    caption: str


@dataclass(frozen=True)
class Strip:
    """Rows of small images, the name of their file, and their caption."""

    name: str
    rows: Sequence[Row]
    caption: str
    heads: Sequence[str] = ()
    """Titles of the columns."""


@dataclass(frozen=True)
class Table:
    """Rows with the same keys, which are the column titles."""

    rows: Sequence[Record]


Part = str | Table | Plot | Strip
"""A paragraph, a table, a plot or a strip of images."""


@dataclass(frozen=True)
class Findings:
    """Results of one study."""

    title: str
    parts: Sequence[Part]
    """Content of the page, in order."""
    records: Sequence[Record]
    """Every single measurement, for the CSV."""
    settings: Mapping[str, Cell]
    """Settings of the measurement: runs, budgets, numbers of views, seeds."""


def write_findings(findings: Findings, folder: Path, name: str) -> Path:
    """Write NAME.md, NAME.csv and NAME-….png into the folder; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"# {findings.title}", ""]
    for part in findings.parts:
        if isinstance(part, str):
            lines += [part, ""]
        elif isinstance(part, Table):
            lines += [*markdown_table(part.rows), ""]
        else:
            file = f"{name}-{part.name}.png"
            _write_png(folder / file, _drawn(part))
            lines += [f"![{part.caption}]({file})", "", f"*{part.caption}*", ""]
    made = provenance()
    settings = "; ".join(f"{key}: {_shown(value)}" for key, value in findings.settings.items())
    lines += [
        f"All measurements: [{name}.csv]({name}.csv). {settings}; commit {made['commit']}; "
        f"{processor()}. `{made['command']}`",
        "",
    ]
    write_atomically(folder / f"{name}.csv", _csv(findings.records).encode())
    page = folder / f"{name}.md"
    write_atomically(page, "\n".join(lines).encode())
    return page


def markdown_table(rows: Sequence[Record]) -> list[str]:
    """Lines of a Markdown table; numbers are right-aligned with four significant digits."""
    heads = list(rows[0])
    right = [all(not isinstance(row[head], str) for row in rows) for head in heads]
    lines = [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join('---:' if each else '---' for each in right)}|",
    ]
    return lines + [f"| {' | '.join(_shown(row[head]) for head in heads)} |" for row in rows]


def _shown(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _csv(records: Sequence[Record]) -> str:
    heads = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            key: f"{value:.6g}" if isinstance(value, float) else value
            for key, value in record.items()
        }
        for record in records
    )
    return text.getvalue()


def _drawn(part: Plot | Strip) -> Figure:
    if isinstance(part, Strip):
        return draw_picture(part.rows, part.heads)
    if len(part.drawing.axes) == 1:
        return resized(part.drawing, *PLOT_SIZE)
    return part.drawing


def _write_png(path: Path, drawing: Figure) -> None:
    with replacing(path) as temporary, mpl.rc_context(STYLE):
        drawing.savefig(temporary, format="png", dpi=DOTS_AN_INCH, facecolor="white")

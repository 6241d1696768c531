"""Results of a study, written as a page of the same look as those of runs and comparisons."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from unrender.files import make_folder, write_atomically
from unrender.report.page import (
    Fragment,
    Page,
    figure,
    image_grid,
    prose,
    section,
    table,
)
from unrender.report.pictures import Row
from unrender.report.plots import resized, svg
from unrender.training.record import processor, provenance

PLOT_SIZE = (6.4, 3.8)
"""Size of a single plot in inches, with room for long labels in the legend."""

Cell = str | float | int | None
Record = Mapping[str, Cell]


@dataclass(frozen=True)
class Plot:
    """A plot, its name, and its caption."""

    name: str
    drawing: Figure
    caption: str


@dataclass(frozen=True)
class Strip:
    """Rows of small images, their name, and their caption."""

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
"""Text as `unrender.report.page.prose` takes it, a table, a plot or a strip of images. A text
that starts with "## " and a title begins a section."""


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

    def sections(self) -> list[tuple[str, list[Part]]]:
        """The parts by section, with its title; the first section is "Results"."""
        found: list[tuple[str, list[Part]]] = [("Results", [])]
        for part in self.parts:
            if isinstance(part, str) and part.startswith("## "):
                title, _, text = part.removeprefix("## ").partition("\n\n")
                found.append((title, [text] if text else []))
            else:
                found[-1][1].append(part)
        return [(title, parts) for title, parts in found if parts]

    def origin(self) -> dict[str, object]:
        """The settings, and what else a reader needs to repeat the measurement."""
        made = provenance()
        return {
            **self.settings,
            "commit": made["commit"],
            "processor": processor(),
            "command": made["command"],
        }


def write_findings(findings: Findings, folder: Path, name: str) -> Path:
    """Write NAME.html and NAME.csv into the folder; returns the page's path. InputError."""
    make_folder(folder)
    write_csv(folder / f"{name}.csv", findings.records)
    origin = [(key, str(value)) for key, value in findings.origin().items()]
    page = folder / f"{name}.html"
    Page(
        findings.title,
        f"All measurements are in {name}.csv beside this page.",
        (
            *(section(title, *map(_fragment, parts)) for title, parts in findings.sections()),
            section("Settings", table(("setting", "value"), origin)),
        ),
    ).write(page)
    return page


def _fragment(part: Part) -> Fragment:
    if isinstance(part, str):
        return prose(part)
    if isinstance(part, Table):
        return table(list(part.rows[0]), [list(row.values()) for row in part.rows])
    if isinstance(part, Plot):
        single = len(part.drawing.axes) == 1
        drawing = resized(part.drawing, *PLOT_SIZE) if single else part.drawing
        return figure(svg(drawing), part.caption)
    heads = part.heads or [""] * len(part.rows[0][1])
    rows = [(label, [image.cpu() for image in images]) for label, images in part.rows]
    return figure(image_grid(rows, heads), part.caption)


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write records as a CSV table, atomically; what a record lacks is left empty."""
    heads = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in record.items()}
        )
    write_atomically(path, text.getvalue().encode())

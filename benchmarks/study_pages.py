"""The pages of studies in docs/: Markdown with images, which a code host shows.

    python benchmarks/study_pages.py STUDY FOLDER --run FLOW --scene SCENE
    python benchmarks/study_pages.py novel-views FOLDER [--run RUN] [--flow RUN] [--data SCENE]
    python benchmarks/study_pages.py moving-scenes FOLDER [--data FILM]

writes STUDY.md, STUDY.csv and STUDY-….png into the folder, as in docs/studies. What `unrender
study` writes is the same page as HTML.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from unrender.files import make_folder, replacing
from unrender.report.findings import (
    PLOT_SIZE,
    Cell,
    Findings,
    Plot,
    Record,
    Strip,
    Table,
    write_csv,
)
from unrender.report.pictures import draw_picture, write_figure
from unrender.report.plots import resized
from unrender.studies import FILM_STUDIES, STUDIES, VIEW_STUDIES
from unrender.studies.film_study import FilmSubject
from unrender.studies.study import open_subject
from unrender.studies.view_study import ViewSubject


def write_markdown(findings: Findings, folder: Path, name: str) -> None:
    """Write the page, a PNG for each plot and strip of images, and the CSV table."""
    make_folder(folder)
    lines = [f"# {findings.title}", ""]
    for part in findings.parts:
        if isinstance(part, str):
            lines += [part, ""]
        elif isinstance(part, Table):
            lines += [*markdown_table(part.rows), ""]
        else:
            file = f"{name}-{part.name}.png"
            write_part(folder / file, part)
            lines += [f"![{part.caption}]({file})", "", f"*{part.caption}*", ""]
    origin = "; ".join(f"{key}: {value}" for key, value in findings.origin().items())
    lines += [f"All measurements: [{name}.csv]({name}.csv). {origin}.", ""]
    write_csv(folder / f"{name}.csv", findings.records)
    with replacing(folder / f"{name}.md") as temporary:
        temporary.write_text("\n".join(lines))


def write_part(path: Path, part: Plot | Strip) -> None:
    """Write a plot, or a strip of images, as it is in the docs."""
    if isinstance(part, Strip):
        drawing = draw_picture(part.rows, part.heads)
    else:
        single = len(part.drawing.axes) == 1
        drawing = resized(part.drawing, *PLOT_SIZE) if single else part.drawing
    write_figure(path, drawing)


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A study's page for docs/studies.")
    parser.add_argument("study", choices=[*STUDIES, *VIEW_STUDIES, *FILM_STUDIES])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--flow", type=Path)
    parser.add_argument("--data")
    given = parser.parse_args()
    name = given.study
    if name in VIEW_STUDIES:
        views = ViewSubject(given.run, given.flow, given.data, given.folder / "runs")
        findings = VIEW_STUDIES[name].run(views)
    elif name in FILM_STUDIES:
        film = FilmSubject(given.data or "lamp", given.folder / "runs")
        findings = FILM_STUDIES[name].run(film)
    elif given.run is None or given.scene is None:
        parser.error(f"{name} is about a pose flow: give --run and --scene")
    else:
        subject = open_subject(given.run, given.scene, given.data)
        findings = STUDIES[name].run(subject)
    write_markdown(findings, given.folder, name)

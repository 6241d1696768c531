"""Derivatives of pixels and inverse problems, as metrics and as the studies' pages.

    python benchmarks/pixel_gradients.py FOLDER

writes gradients.md and inverse-problems.md with their images and CSV tables into the folder, as
in docs/gradients. `gradient_figures` is the part "gradients" of
benchmarks/fields_surfaces.py.
"""

import argparse
from pathlib import Path
from statistics import mean

import record
import study_pages

from unrender.report.findings import Findings
from unrender.studies.gradients import Gradients
from unrender.studies.inverse_problems import InverseProblems


def gradient_figures(
    seed: int = 0, quick: bool = False, pages: Path | None = None
) -> record.Figures:
    """Errors and costs of each technique, and the errors of the inverse problems.

    The pages are written into the folder `pages`, if given.
    """
    gradients = Gradients(side=24, runs=2, rays=4) if quick else Gradients()
    problems = InverseProblems(side=32, poses=1, steps=30) if quick else InverseProblems()
    found = {
        "gradients": gradients.run(seed, print),
        "inverse-problems": problems.run(seed, print),
    }
    if pages is not None:
        for name, findings in found.items():
            study_pages.write_markdown(findings, pages, name)
    return _errors(found["gradients"]) | _solved(found["inverse-problems"])


def _errors(findings: Findings) -> record.Figures:
    """Relative error and cost of each technique, on average over the scenes."""
    found: dict[str, list[float]] = {}
    for row in findings.records:
        name = f"gradient_{_key(row['technique'])}"
        columns = {"error": f"{row['parameter']}_error"}
        if row["parameter"] == "position":
            columns |= {"block error": "position_block_error", "cost": "cost"}
        for column, figure in columns.items():
            found.setdefault(f"{name}_{figure}", []).append(_number(row[column]))
    return {
        name: record.figure(mean(values), "×" if name.endswith("cost") else "")
        for name, values in found.items()
    }


def _solved(findings: Findings) -> record.Figures:
    figures: record.Figures = {}
    for row in findings.records:
        names = [_key(row[part]) for part in ("problem", "case", "figure")]
        figures["_".join(["inverse", *names])] = record.figure(
            _number(row["value"]), str(row["unit"])
        )
    return figures


def _number(value: str | float | None) -> float:
    assert isinstance(value, float), "what was measured is a number"
    return value


def _key(text: object) -> str:
    """An identifier of letters, digits and underscores: 2×2 becomes 2x2 and β beta."""
    plain = str(text).replace("×", "x").replace("β", "beta").replace(".", "p")
    return "_".join("".join(c if c.isalnum() else " " for c in plain).split()).lower()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Errors of derivatives of pixels, and of inverse problems."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    record.show(gradient_figures(arguments.seed, pages=arguments.folder))

"""Results files of the benchmarks, and the marks of the docs' tables that tables.py fills.

    {"command", "commit", "machine", "seed", "seconds", "figures": {name: figure}, …}

A figure is {"value", "unit"} with "at_least" or "at_most" if it has an acceptance bound, and
with a "reason" if there is no value.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from unrender.kernels.runtime import simd
from unrender.training.record import processor

ROOT = Path(__file__).resolve().parents[1]
LEGO = ROOT.parent / "shared/data/nerf_synthetic/lego_200"
Figures = dict[str, dict[str, Any]]
RUN_FOLDERS = {"--out", "--work", "--regression", "--flow"}
BOUNDS = {"at_least": 1, "at_most": -1}
"""Kinds of acceptance bounds, and the sign of a value that exceeds them."""


def read(path: Path) -> dict[str, Any]:
    """Content of a results file; empty if it does not exist."""
    return json.loads(path.read_text()) if path.exists() else {}


def registers() -> str:
    """Width of the vector registers, on which speed ratios and rounding of sums depend."""
    return f"{32 * simd.LANES} bits"


def write(
    path: Path, seed: int, seconds: float, figures: Mapping[str, Any], **more: Any
) -> None:
    """Write the results with command, commit, machine and seed."""
    content = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *_arguments()]),
        "commit": COMMIT,
        "machine": processor(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "figures": figures,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _arguments() -> list[str]:
    """Those of the command line, without folders on this machine where runs are kept."""
    given = iter(sys.argv[1:])
    return [word for word in given if word not in RUN_FOLDERS or not next(given, "")]


def merge(
    parts: Mapping[str, Callable[[argparse.Namespace], Figures]],
    arguments: argparse.Namespace,
) -> Figures:
    """Measure the parts of `arguments.only`, each merged into the file `arguments.out`.

    The file also records the commit of each figure. Returns all figures of the file.
    """
    began = time.perf_counter()
    earlier = read(arguments.out)
    figures = dict(earlier.get("figures", {}))
    measured = dict(earlier.get("measured", {}))
    for part in arguments.only:
        found = parts[part](arguments)
        figures.update(found)
        show(found)
        measured |= dict.fromkeys(found, COMMIT)
        seconds = time.perf_counter() - began
        write(arguments.out, arguments.seed, seconds, figures, measured=measured)
    return figures


def figure(
    value: float | None, unit: str, reason: str | None = None, **bound: float
) -> dict[str, Any]:
    """One figure of the results; `bound` is at_least or at_most."""
    assert (value is None) == (reason is not None), "a missing value needs a reason"
    return {"value": value, "unit": unit, **bound, **({"reason": reason} if reason else {})}


def verdict(figure: Mapping[str, Any]) -> str:
    """Whether a figure is within its acceptance bound, as text."""
    for kind, sign in BOUNDS.items():
        if kind in figure and figure["value"] is not None:
            kept = sign * (float(figure["value"]) - float(figure[kind])) >= 0
            return f"({kind} {figure[kind]:g}: {'passed' if kept else 'MISSED'})"
    return f"({figure['reason']})" if "reason" in figure else ""


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures with their bounds."""
    for key, own in figures.items():
        value = "-" if own["value"] is None else f"{own['value']:.6g}"
        print(f"{key:45} {value:>12} {own['unit']:12} {verdict(own)}")


def fill(page: Path, name: str, rows: Iterable[str]) -> None:
    """Replace the lines between the marks of that name on a page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(begin)
    after = rest.split(end)[1]
    page.write_text(before + begin + "\n".join(rows) + "\n" + end + after)


def commit() -> str:
    """The current commit, marked as dirty if the code differs from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        found, changed = (
            subprocess.run([*git, *command], capture_output=True, text=True, check=False).stdout
            for command in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", "*.py", "pyproject.toml"],
            )
        )
    except OSError:  # There is no git.
        return ""
    return found.strip() + ("-dirty" if changed.strip() else "")


COMMIT = commit()
"""Taken when the benchmark starts: the checkout may change while it runs."""

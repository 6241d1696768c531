"""What every benchmark's results file says, and how the docs' tables are filled from it.

    {"command", "commit", "machine", "seed", "seconds", "figures": {name: figure}, …}

A figure is {"value", "unit"} with "at_least" or "at_most" where a bound is asked of it, and
with the "reason" where there is no value.
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
from unrender.training.run_folder import processor

ROOT = Path(__file__).resolve().parents[1]
LEGO = ROOT.parent / "shared/data/nerf_synthetic/lego_200"
Figures = dict[str, dict[str, Any]]
BOUNDS = {"at_least": ("≥", 1), "at_most": ("≤", -1)}


def read(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where there is none yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def registers() -> str:
    """The kind of processor that ratios of speeds, and the last bits of sums, depend on."""
    return f"{32 * simd.LANES} bits"


def write(
    path: Path, seed: int, seconds: float, figures: Mapping[str, Any], **more: Any
) -> None:
    """Write the results, with what made them."""
    content = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": COMMIT,
        "machine": processor(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "figures": figures,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def merge(
    parts: Mapping[str, Callable[[argparse.Namespace], Figures]],
    arguments: argparse.Namespace,
) -> tuple[Figures, dict[str, str]]:
    """Measure the parts of `arguments.only`, each merged into the file `arguments.out`.

    Returns all figures of the file, and the commit that each was measured at.
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
    return figures, measured


def table(figures: Figures, measured: Mapping[str, str]) -> list[str]:
    """A row a figure, those with a bound first."""
    rows = ["| figure | value | asked | commit |", "|---|---:|---:|---|"]
    for name in sorted(figures, key=lambda n: not asked(figures[n])):
        own = figures[name]
        value = own.get("reason", "")
        if own["value"] is not None:
            value = f"{own['value']:.4g} {own['unit']}".strip()
        rows.append(f"| `{name}` | {value} | {asked(own)} | {measured.get(name, '')} |")
    return rows


def figure(
    value: float | None, unit: str, reason: str | None = None, **bound: float
) -> dict[str, Any]:
    """One figure as the results hold it; `bound` is at_least or at_most."""
    assert (value is None) == (reason is not None), "what is missing has a reason"
    return {"value": value, "unit": unit, **bound, **({"reason": reason} if reason else {})}


def verdict(figure: Mapping[str, Any]) -> str:
    """Whether a figure keeps its bound."""
    for kind, (_, sign) in BOUNDS.items():
        if kind in figure and figure["value"] is not None:
            kept = sign * (float(figure["value"]) - float(figure[kind])) >= 0
            return f"({kind} {figure[kind]:g}: {'kept' if kept else 'MISSED'})"
    return f"({figure['reason']})" if "reason" in figure else ""


def asked(figure: Mapping[str, Any]) -> str:
    """A figure's bound, as a table shows it."""
    return " ".join(
        f"{sign} {figure[kind]:g}" for kind, (sign, _) in BOUNDS.items() if kind in figure
    )


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures with their bounds."""
    for key, own in figures.items():
        value = "-" if own["value"] is None else f"{own['value']:.6g}"
        print(f"{key:45} {value:>12} {own['unit']:12} {verdict(own)}")


def fill(page: Path, name: str, rows: Iterable[str]) -> None:
    """Put rows between the marks of that name on a page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = page.read_text().split(begin)
    after = rest.split(end)[1]
    page.write_text(before + begin + "\n".join(rows) + "\n" + end + after)


def commit() -> str:
    """The commit measured, marked if code differs from it; what was measured before may."""
    git = ["git", "-C", str(ROOT)]
    found, changed = (
        subprocess.run([*git, *command], capture_output=True, text=True, check=False).stdout
        for command in (
            ["rev-parse", "--short=12", "HEAD"],
            ["status", "--porcelain", "--", "*.py", "pyproject.toml"],
        )
    )
    return found.strip() + ("-dirty" if changed.strip() else "")


COMMIT = commit()
"""When the benchmark began: the tree may go on while it runs."""

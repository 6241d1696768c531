"""Tables of the docs, written from the committed results; nothing is measured.

    python benchmarks/tables.py [--only PAGE ...]

Every benchmark calls `rewrite` after it has merged its measurements into its results file. Rows
and columns have names in words with units; identifiers, bounds and commits stay in the results.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import record
from page_tables import ALIASES, GRIDS, RESULTS
from record import ROOT, Figures

LIMIT_NAMES = {
    "products": "matrix products",
    "bandwidth": "memory bandwidth",
    "gathers": "random gathers and updates",
    "all in turn": "all three, one after the other",
}


def figures_of(page: str) -> Figures:
    """All figures of a page's results files."""
    figures: Figures = {}
    for name in RESULTS[page]:
        figures |= record.read(ROOT / f"benchmarks/results/{name}.json").get("figures", {})
    return figures | {cell: figures[key] for cell, key in ALIASES.items() if key in figures}


def lines_of(page: str, name: str, figures: Figures) -> list[str]:
    """The lines between one pair of marks: all tables, separated by empty lines."""
    lines: list[str] = []
    for grid in GRIDS[page][name]:
        table = grid.lines(figures)
        lines += ["", *table] if lines and table else table
    return lines


def rewrite(*pages: str, root: Path = ROOT) -> None:
    """Write the tables of these pages, by default of all, from the committed results."""
    for page in pages or GRIDS:
        figures, path = figures_of(page), root / f"docs/{page}.md"
        for name in GRIDS[page]:
            record.fill(path, name, lines_of(page, name, figures))
        if page == "speed":
            speed = record.read(ROOT / "benchmarks/results/speed.json")
            record.fill(path, "kernels", kernel_rows(speed))
            record.fill(path, "limits", limit_rows(speed["limits"]))
            on_gpu = record.read(ROOT / "benchmarks/results/speed_cuda.json")
            if "kernels" in on_gpu:
                rows = [*kernel_rows(on_gpu), "", *limit_rows(on_gpu["limits"])]
                table = lines_of(page, "figures", on_gpu["figures"])
                record.fill(path, "gpu", [on_gpu["gpu"], "", *rows, "", *table])


def kernel_rows(speed: Mapping[str, Any]) -> list[str]:
    """Table of the kernels, relative to their references and to the machine's limits."""
    rows = [
        "| kernel | size | time (ms) | per second | speed-up over the reference (×) "
        "| share of the limit | GB/s | GFLOP/s | peak memory, reference (MB) "
        "| first call (s) | noise |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    first = speed.get("first_calls", {})
    for name, row in speed["kernels"].items():
        share = f"{row['share_of_limit']:.0%} of {LIMIT_NAMES[row['limit']]}"
        peaks = [
            _number(row[key]) if row[key] is not None else "–"
            for key in ("peak_mb", "reference_peak_mb")
        ]
        cells = [
            name,
            f"{row['count']:,} {row['unit']}",
            _number(1e3 * row["seconds"]),
            f"{row['per_second'] / 1e6:.3g} M",
            f"{row['ratio']:.1f}",
            share,
            _number(row["bytes_per_second"] / 1e9),
            _number(row["flops_per_second"] / 1e9),
            f"{peaks[0]} ({peaks[1]})",
            _number(first[name]) if name in first else "–",
            f"{row['noise']:.2f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def limit_rows(limits: Mapping[str, Any]) -> list[str]:
    """Table of the machine's measured limits."""
    rows = ["| limit | measured |", "|---|---|"]
    rows.append(f"| matrix products | {limits['flops'] / 1e9:.0f} GFLOP/s |")
    rows.append(f"| copying (read and write) | {limits['bytes'] / 1e9:.1f} GB/s |")
    for kind in ("gathers", "updates"):
        sizes = [8 * 2 ** int(log2) / 2**10 for log2 in limits[kind]]
        named = [f"{size / 1024:g} MiB" if size >= 1024 else f"{size:g} KiB" for size in sizes]
        rates = ", ".join(f"{rate / 1e9:.2f}" for rate in limits[kind].values())
        rows.append(f"| random {kind}, tables of {', '.join(named)} | {rates} G/s |")
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(GRIDS), default=[])
    rewrite(*parser.parse_args().only)

"""The plots of docs/speed.md, from the committed results alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import record
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from tables import LIMIT_NAMES

from unrender.report.plots import PALETTE

STYLE = {
    "svg.hashsalt": "unrender",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
GREY = "#999999"
PART_NAMES = {
    "hash_grid": "hash grid",
    "mlp": "networks",
    "composite": "compositing",
    "march": "marching",
    "expand": "rays to samples",
    "occupancy": "occupancy grid",
    "spherical_harmonics": "spherical harmonics",
    "along_rays": "samples along rays",
}
AXIS_UNITS = {"image side": "pixels", "finest resolution": "cells per side"}
ONE_WAY = ("march", "occupancy")
LIMIT_COLORS = dict(zip(LIMIT_NAMES, PALETTE, strict=False))


def draw(root: Path, ending: str = "svg") -> None:
    """Draw the plots of all results that exist."""
    results, images = root / "benchmarks/results", root / "docs/images"
    speed = record.read(results / "speed.json")
    quality = record.read(results / "time_to_quality.json")
    pictures = {
        "speed_step": (draw_step, speed.get("step_parts")),
        "speed_roofline": (draw_roofline, speed if "kernels" in speed else None),
        "speed_growth": (draw_growth, speed.get("growth")),
        "speed_quality": (draw_quality, quality.get("curves")),
    }
    for name, (make, content) in pictures.items():
        if content:
            with mpl.rc_context(STYLE):
                made = make(content)
                made.savefig(images / f"{name}.{ending}", dpi=150, metadata={"Date": None})


# Pictures.


def draw_step(parts: Mapping[str, float]) -> Figure:
    """Bar chart of the milliseconds of each part of a training step."""
    shown = {name: 1e3 * seconds for name, seconds in parts.items() if name != "step"}
    names = sorted(shown, key=lambda name: (name != "other", shown[name]))
    names = [name for name in names if name != "other"]
    names = ["other", *names] if "other" in shown else names
    figure = Figure(figsize=(7.5, 0.32 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    whole = 1e3 * parts["step"]
    colors = [_part_color(name) for name in names]
    bars = axes.barh(
        [_part_name(name) for name in names], [shown[n] for n in names], color=colors
    )
    labels = [f"{shown[name]:.2g} ms, {shown[name] / whole:.0%}" for name in names]
    axes.bar_label(bars, labels, padding=3, fontsize=8.5)
    axes.set_xlabel("mean time (ms)")
    axes.set_xlim(0, 1.25 * max(shown.values()))
    axes.set_title(f"Parts of a training step of {whole:.3g} ms", loc="left")
    axes.grid(axis="y", visible=False)
    handles = [mpl.patches.Patch(color=PALETTE[i]) for i in range(3)] + [
        mpl.patches.Patch(color=GREY)
    ]
    axes.legend(handles, ["forward", "backward", "optimizer", "other"], loc="lower right")
    return figure


def _part_name(name: str) -> str:
    kernel, _, way = name.partition(" ")
    way = "" if kernel in ONE_WAY else way
    return f"{PART_NAMES.get(kernel, kernel)} {way}".strip()


def _part_color(name: str) -> str:
    kinds = {"forward": PALETTE[0], "backward": PALETTE[1], "Adam": PALETTE[2]}
    return next((color for kind, color in kinds.items() if kind in name), GREY)


def draw_roofline(speed: Mapping[str, Any]) -> Figure:
    """Random-access rates over the table size, and each kernel's share of its limit."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    limits, kernels = speed["limits"], speed["kernels"]
    for kind, color in (("gathers", PALETTE[0]), ("updates", PALETTE[1])):
        sizes = [8 * 2 ** int(log2) / 2**20 for log2 in limits[kind]]
        rates = [rate / 1e9 for rate in limits[kind].values()]
        left.plot(sizes, rates, "o-", color=color, label=f"limit: random {kind}", ms=4)
    for log2, power, marker in ((15, "2¹⁵", "^"), (19, "2¹⁹", "s")):
        row = kernels[f"hash_grid, T 2^{log2}"]
        rate = 2 * 8 * 16 * row["per_second"] / 1e9
        left.plot(
            [8 * 2**log2 / 2**20],
            [rate],
            marker,
            color=PALETTE[2],
            ms=8,
            linestyle="",
            label=f"hash grid, T = {power}: gathers and updates",
        )
    left.set(
        xscale="log", yscale="log", xlabel="size of the table", ylabel="10⁹ entries per second"
    )
    ticks = [1 / 64, 1 / 16, 1 / 4, 1, 4, 16]
    left.set_xticks(ticks, [f"{t:g} MiB" if t >= 1 else f"{1024 * t:g} KiB" for t in ticks])
    left.tick_params(axis="x", labelsize=8)
    left.tick_params(axis="x", which="minor", bottom=False)
    _plain_ticks(left)
    left.set_title("Random access", loc="left")
    left.legend(fontsize=8)
    bound = {name: row for name, row in kernels.items() if row["limit"]}
    names = list(bound)[::-1]
    shares = [100 * bound[name]["share_of_limit"] for name in names]
    colors = [LIMIT_COLORS[bound[name]["limit"]] for name in names]
    titles = [
        name.replace("_", " ").replace("T 2^15", "T = 2¹⁵").replace("T 2^19", "T = 2¹⁹")
        for name in names
    ]
    bars = right.barh(titles, shares, color=colors)
    references = [
        share / bound[name]["ratio"] for name, share in zip(names, shares, strict=True)
    ]
    right.plot(references, titles, "|", color="black", ms=14, mew=2)
    labels = [
        f"{s:.0f}%  ({bound[n]['ratio']:.1f}×)" for n, s in zip(names, shares, strict=True)
    ]
    right.bar_label(bars, labels, padding=3, fontsize=8.5)
    right.axvline(100, color="black", lw=1)
    right.set_xlim(0, max(118, *(1.2 * share for share in shares)))
    right.set_xlabel("share of the measured limit (%);  |: torch reference  (× its speed)")
    right.set_title("Kernels, forward and backward", loc="left")
    right.grid(axis="y", visible=False)
    used = [limit for limit in LIMIT_NAMES if limit in {row["limit"] for row in bound.values()}]
    handles = [mpl.patches.Patch(color=LIMIT_COLORS[limit]) for limit in used]
    figure.legend(
        handles,
        [f"limited by {LIMIT_NAMES[limit]}" for limit in used],
        loc="outside lower right",
        ncols=2,
        fontsize=8.5,
    )
    return figure


def draw_growth(growth: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Time (top) and memory (bottom), with a column for each axis of scaling."""
    figure = Figure(figsize=(2.2 * len(growth), 4.8), layout="constrained")
    grid = figure.subplots(2, len(growth), squeeze=False, sharex="col")
    kernels = sorted({name for rows in growth.values() for name in rows})
    for column, (axis, rows_by_kernel) in enumerate(growth.items()):
        for kernel, rows in rows_by_kernel.items():
            color = PALETTE[kernels.index(kernel)]
            at = [row["at"] for row in rows]
            for axes, key, factor in (
                (grid[0, column], "seconds", 1e3),
                (grid[1, column], "peak_mb", 1),
            ):
                values = [factor * row[key] if row[key] else float("nan") for row in rows]
                axes.plot(at, values, "o-", color=color, ms=3.5, label=kernel)
        for axes in grid[:, column]:
            axes.set(xscale="log", yscale="log")
            _plain_ticks(axes)
            _few_ticks(axes, [row["at"] for rows in rows_by_kernel.values() for row in rows])
        unit = AXIS_UNITS.get(axis)
        grid[1, column].set_xlabel(f"{axis} ({unit})" if unit else axis)
    grid[0, 0].set_ylabel("time (ms)")
    grid[1, 0].set_ylabel("memory besides the inputs (MB)")
    found = {}
    for axes in grid[0]:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=len(found))
    return figure


def _few_ticks(axes: Axes, values: list[int]) -> None:
    """At most four ticks at measured values, in readable notation."""
    distinct = sorted(set(values))
    step = -(-len(distinct) // 4)
    chosen = distinct[::step]
    axes.set_xticks(chosen, [_short(value) for value in chosen])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain_ticks(axes: Axes) -> None:
    """Ticks at 1, 2, 5, 10, … instead of powers of ten, on the vertical axis."""
    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high / low < 50 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _short(value: int) -> str:
    for size, letter in ((1 << 20, "M"), (1 << 10, "k")):
        if value >= size and value % size == 0:
            return f"{value // size}{letter}"
    return str(value)


def draw_quality(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """PSNR on test views over training time."""
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.subplots()
    times: list[float] = []
    for (name, curve), color in zip(curves.items(), PALETTE, strict=False):
        points = curve.get("points", [])
        if not points:
            continue
        seconds = [point["seconds"] for point in points]
        psnr = [point["psnr"] for point in points]
        times += [point["budget_seconds"] for point in points]
        axes.plot(seconds, psnr, "o-", color=color, ms=4.5, label=f"{name}: {curve['views']}")
        axes.annotate(
            f"{psnr[-1]:.1f}",
            (seconds[-1], psnr[-1]),
            (0, 6),
            textcoords="offset points",
            ha="center",
        )
    axes.margins(y=0.1)
    axes.axhline(30, color=GREY, lw=1, linestyle="--")
    axes.annotate(
        "30 dB",
        (0, 30),
        (4, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color="#666666",
    )
    axes.set(
        xscale="log", xlabel="training time (s), one fit for each point", ylabel="PSNR (dB)"
    )
    ticks = [
        tick
        for tick in (2, 5, 10, 20, 40, 60, 90, 180, 300)
        if min(times) <= tick <= max(times)
    ]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=8.5)
    axes.set_title("PSNR of instant-ngp on test views over training time", loc="left")
    return figure

"""Curves, histograms and scatter plots, as matplotlib figures and as SVG for a page.

Figures are created without pyplot, which would keep them alive. In a page, colors become CSS
variables, so that one drawing works in light and dark mode.
"""

import io
import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.typing import RcKeyType

from unrender.report.page import Fragment

# Okabe and Ito 2008, "Color universal design": distinguishable with any kind of color vision.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

# Placeholder colors in matplotlib's SVG, which are replaced by the page's own colors.
_TEXT, _LINE = "#101112", "#d1d2d3"

STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unrender",
    "font.family": "sans-serif",
    "font.size": 10.0,
    # Names are shown literally: a dollar sign does not start a formula.
    "text.parse_math": False,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}

MAX_POINTS = 300
"""Curves with more points are averaged over this number of equal segments."""

DECADES_FOR_LOG = 1.5
"""Positive values that span more decades than this are drawn on a logarithmic axis."""

SIZE = (4.2, 3.0)
"""Width and height of a plot in inches: its text stays legible at the width of a phone."""
PIXELS, LEAST_PIXELS = 107, 57
"""Pixels on a page for each inch of a plot, at most and at least."""
MARGIN, LETTER, HANDLE, MAX_COLUMNS = 0.6, 0.075, 5, 3
"""Legend: inches beside the axes and per letter, letters of a handle, and most columns."""

Values = Sequence[int | float]


def draw_curves(
    series: Mapping[str, tuple[Values, Values]],
    x_label: str,
    y_label: str,
    log_y: bool = False,
    log_x: bool = False,
    marker: str = "",
) -> Figure:
    """Lines through (xs, ys) by name; points that are not finite are left out.

    A name without points still consumes its color, so that every name has the same color in
    every plot. If there are more names than colors, the remaining lines are dashed.
    """
    with mpl.rc_context(STYLE):
        drawing, axes = _empty(x_label, y_label)
        lines = ["-" if k < len(PALETTE) else "--" for k in range(len(series))]
        styles = zip(_colors(len(series)), lines, strict=True)
        for (color, line), (name, (xs, ys)) in zip(styles, series.items(), strict=True):
            points = _finite(xs, ys)
            if log_y:
                points = points[points[:, 1] > 0]
            if not len(points):
                continue
            points = _thinned(points)
            axes.plot(
                *points.T, line, marker=marker, ms=4, color=color, linewidth=1.6, label=name
            )
        if log_y:
            log_axis(axes, "y")
        if log_x:
            log_axis(axes, "x")
        if len(series) > 1 and axes.lines:
            _legend(axes)
        return _checked(drawing, axes)


def draw_histogram(series: Mapping[str, Values], x_label: str, bins: int = 30) -> Figure:
    """Histograms of the values by name over shared bins, with a line at each median.

    Bins are logarithmic if positive values span more than 1.5 decades; values that are not
    positive are then counted in the first bin. Values that are not finite are left out.
    """
    finite = {name: _finite(values, values)[:, 0] for name, values in series.items()}
    everything = np.concatenate([*finite.values(), np.zeros(0)])
    logarithmic = _spans_decades(everything)
    with mpl.rc_context(STYLE):
        drawing, axes = _empty(x_label, "number of views")
        if logarithmic:
            positive = everything[everything > 0]
            edges = np.geomspace(positive.min(), positive.max() * (1 + 1e-9), bins + 1)
        else:
            low, high = (everything.min(), everything.max()) if len(everything) else (0, 1)
            edges = np.linspace(min(0.0, low), high if high > min(0.0, low) else 1.0, bins + 1)
        for color, (name, values) in zip(_colors(len(finite)), finite.items(), strict=True):
            if not len(values):
                continue
            median = float(np.median(values))
            label = f"{name}, median {median:.3g}"
            counted = np.clip(values, edges[0], edges[-1])
            axes.hist(counted, list(edges), color=color, alpha=0.35, histtype="stepfilled")
            axes.hist(
                counted, list(edges), color=color, linewidth=1.2, histtype="step", label=label
            )
            axes.axvline(max(median, edges[0]), color=color, linewidth=1.2, linestyle="--")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            log_axis(axes, "x")
        if len(everything):
            _legend(axes)
        return _checked(drawing, axes)


def draw_scatter(
    series: Mapping[str, tuple[Values, Values]],
    x_label: str,
    y_label: str,
    equality: str | None = None,
) -> Figure:
    """Points (x, y) by name. `equality` is the label of the line y = x; None draws no line.

    Both axes are logarithmic if all values are positive and span more than 1.5 decades.
    """
    points = {name: _finite(xs, ys) for name, (xs, ys) in series.items()}
    everything = np.concatenate([*points.values(), np.zeros((0, 2))])
    logarithmic = bool((everything > 0).all()) and _spans_decades(everything)
    with mpl.rc_context(STYLE):
        drawing, axes = _empty(x_label, y_label)
        for color, (name, values) in zip(_colors(len(points)), points.items(), strict=True):
            if not len(values):
                continue
            axes.scatter(*values.T, s=16, color=color, alpha=0.65, linewidths=0, label=name)
        if equality is not None and len(everything):
            low, high = everything.min(), everything.max()
            axes.plot([low, high], [low, high], "--", color=_TEXT, linewidth=1, label=equality)
        if logarithmic:
            log_axis(axes, "x")
            log_axis(axes, "y")
        if len(everything) and (len(series) > 1 or equality is not None):
            _legend(axes)
        return _checked(drawing, axes)


def _empty(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    drawing = Figure(figsize=SIZE, dpi=72, layout="constrained")
    axes = drawing.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(length=0, pad=5)
    return drawing, axes


@contextmanager
def panels(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> Generator[tuple[Figure, Any]]:
    """A figure of this size in inches with a grid of axes, for a block that draws in them.

    `options` are those of `Figure.subplots`; without `gridspec_kw` the plots fill the figure.
    """
    with mpl.rc_context(STYLE):
        layout = None if "gridspec_kw" in options else "constrained"
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def resized(drawing: Figure, width: float, height: float) -> Figure:
    """The drawing of one plot at another size in inches; its legend uses the width."""
    drawing.set_size_inches(width, height)
    with mpl.rc_context(STYLE):
        for axes in drawing.axes:
            if axes.get_legend() is not None:
                _legend(axes, width)
    return drawing


def _legend(axes: Axes, width: float = SIZE[0]) -> None:
    """Place the legend above the axes, in as many columns as its labels allow."""
    longest = max((len(label) for label in axes.get_legend_handles_labels()[1]), default=0)
    columns = int((width - MARGIN) / (LETTER * (longest + HANDLE)))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(max(columns, 1), MAX_COLUMNS),
        borderpad=0,
        columnspacing=1.2,
        handlelength=1.4,
        handletextpad=0.5,
    )


def _colors(number: int) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(number)]


def _finite(xs: Values, ys: Values) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    points = np.array(list(zip(xs, ys, strict=True)), dtype=np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _thinned(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    if len(points) <= MAX_POINTS:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, MAX_POINTS)])


def _spans_decades(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    positive = values[values > 0]
    if not len(positive):
        return False
    return math.log10(positive.max()) - math.log10(positive.min()) > DECADES_FOR_LOG


def log_axis(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain tick labels (0.01 rather than 10⁻²)."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    few_decades = math.log10(high) - math.log10(low) < 2
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few_decades else (1.0,)))
    axis.set_major_formatter(FuncFormatter(_tick))
    axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _tick(value: float, _position: int | None) -> str:
    return f"{value:g}"


def _checked(drawing: Figure, axes: Axes) -> Figure:
    if not axes.has_data():
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center")
    return drawing


def svg(drawing: Figure) -> Fragment:
    """The drawing as inline SVG in the page's fonts and colors; wide ones scroll on a phone."""
    buffer = io.StringIO()
    # Without these, the file contains the date and the version, and differs between runs.
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE):
        drawing.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    width = drawing.get_figwidth()
    size = f"max-width: {PIXELS * width:.0f}px; min-width: {LEAST_PIXELS * width:.0f}px"
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::xlink)?="[^"]*"|version="[^"]*")', "", text)
    start = f'<svg role="img" class="plot" style="{size}"'
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', start, text)
    text = re.sub(r"<g id=\"[^\"]*\"", "<g", text)
    # The page's style sheet sets line caps and fonts for all of its drawings.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*; ?", "", text)
    text = text.replace("xlink:href", "href")
    for index, color in enumerate(PALETTE):
        text = text.replace(color, f"var(--series-{index}, {color})")
    return Fragment(text.replace(_TEXT, "currentColor").replace(_LINE, "var(--line, #d1d2d3)"))

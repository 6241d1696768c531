"""Plots show the values they are given, and leave nothing behind."""

import math
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unrender.report import plots
from unrender.report.plots import (
    MAX_POINTS,
    PALETTE,
    draw_curves,
    draw_histogram,
    draw_scatter,
    svg,
)


def texts(drawing: Figure) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg(drawing).markup)


def paths(drawing: Figure, color: str) -> list[list[tuple[float, float]]]:
    """Points of the lines drawn in a colour, in the drawing's units."""
    found = re.findall(r'<path d="([^"]*)"[^>]*style="([^"]*)"', svg(drawing).markup)
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", d)]
        for d, style in found
        if f"stroke: var(--series-{PALETTE.index(color)}" in style
    ]


def test_curves_lie_where_the_values_are() -> None:
    drawing = draw_curves({"loss": ([0, 1, 3], [2, 2, 8])}, "time (s)", "loss")
    ((start, middle, end),) = paths(drawing, PALETTE[0])
    assert start[1] == pytest.approx(middle[1], abs=1e-3)
    assert end[1] < middle[1]
    assert end[0] - middle[0] == pytest.approx(2 * (middle[0] - start[0]), rel=1e-4)
    assert {"time (s)", "loss"} <= set(texts(drawing))


def test_equal_factors_are_equal_steps_on_a_logarithmic_axis() -> None:
    drawing = draw_curves({"loss": ([0, 1, 2], [10, 1, 0.1])}, "s", "loss", log_y=True)
    ((a, b, c),) = paths(drawing, PALETTE[0])
    assert b[1] - a[1] == pytest.approx(c[1] - b[1], rel=1e-4)
    assert {"0.1", "1", "10"} <= set(texts(drawing))


def test_what_cannot_be_drawn_is_left_out() -> None:
    ys = [1.0, math.nan, math.inf, -1.0, 0.0, 10.0]
    drawing = draw_curves({"loss": (range(6), ys)}, "s", "loss", log_y=True)
    ((start, end),) = paths(drawing, PALETTE[0])
    assert start[0] < end[0]


def test_long_curves_are_averaged_to_few_points() -> None:
    count = 50 * MAX_POINTS
    drawing = draw_curves(
        {"a": (range(count), [float(i % 2) for i in range(count)])}, "s", "loss"
    )
    assert len(svg(drawing).markup) < 40_000
    (line,) = paths(drawing, PALETTE[0])
    heights = [y for _, y in line]
    assert max(heights) - min(heights) < 1e-3


def test_one_curve_needs_no_legend_and_two_do() -> None:
    one = draw_curves({"first": ([0, 1], [1, 2])}, "s", "dB")
    two = draw_curves({"first": ([0, 1], [1, 2]), "second": ([0, 1], [2, 1])}, "s", "dB")
    assert "first" not in texts(one)
    assert {"first", "second"} <= set(texts(two))
    assert paths(two, PALETTE[1])


def test_a_name_without_points_keeps_its_color_and_no_place_in_the_legend() -> None:
    drawing = draw_curves({"first": ([], []), "second": ([0, 1], [2, 1])}, "s", "dB")
    assert "first" not in texts(drawing)
    assert "second" in texts(drawing)
    assert not paths(drawing, PALETTE[0])
    assert paths(drawing, PALETTE[1])


def test_a_histogram_counts_every_value_and_names_the_median() -> None:
    drawing = draw_histogram({"flow": [1.0, 1.0, 1.0, 4.0]}, "error (°)", bins=4)
    outline = max(paths(drawing, PALETTE[0]), key=len)
    heights = sorted({round(y, 1) for _, y in outline}, reverse=True)
    # Three values in one bin and one in another, above a floor of none.
    assert len(heights) == 3
    floor, one, three = heights
    assert floor - three == pytest.approx(3 * (floor - one), rel=0.01)
    assert any("median 1" in text for text in texts(drawing))
    assert "error (°)" in texts(drawing)


def test_a_histogram_over_decades_is_logarithmic() -> None:
    drawing = draw_histogram({"a": [0.1, 1, 10, 100, 0.0]}, "error (°)")
    assert {"0.1", "1", "10", "100"} <= set(texts(drawing))
    linear = draw_histogram({"a": [1, 2, 3]}, "error (°)")
    assert "0" in {text.removesuffix(".0") for text in texts(linear)}


def test_scatter_draws_each_point_and_the_line_of_equality() -> None:
    drawing = draw_scatter(
        {"flow": ([1, 2, 3], [2, 3, 1])}, "expected", "actual", "as expected"
    )
    uses = re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*series-0', svg(drawing).markup)
    # The fourth mark is the legend's.
    first, second, third, _ = [(float(x), float(y)) for x, y in uses]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], rel=1e-4)
    assert second[1] < first[1] < third[1]
    assert "as expected" in texts(drawing)
    wide = draw_scatter({"flow": ([0.01, 1, 30], [0.02, 3, 10])}, "expected", "actual")
    assert {"0.1", "1", "10"} <= set(texts(wide))


@pytest.mark.parametrize(
    "drawing",
    [
        draw_curves({}, "s", "dB"),
        draw_curves({"a": ([], [])}, "s", "dB", log_y=True),
        draw_curves({"a": ([1], [math.nan]), "b": ([], [])}, "s", "dB"),
        draw_curves({"a": ([1.0], [1.0])}, "s", "dB", log_y=True),
        draw_histogram({}, "°"),
        draw_histogram({"a": [math.nan]}, "°"),
        draw_histogram({"a": [0.0, 0.0]}, "°"),
        draw_histogram({"a": [1.0], "b": []}, "°"),
        draw_histogram({"a": [-2.0, -1.0]}, "°"),
        draw_scatter({"a": ([], [])}, "x", "y", "equal"),
        draw_scatter({"a": ([0.0], [0.0])}, "x", "y", "equal"),
    ],
)
def test_little_or_no_data_still_makes_a_plot(drawing: Figure) -> None:
    assert svg(drawing).markup.startswith("<svg")
    assert "nan" not in svg(drawing).markup


def test_plots_are_pure() -> None:
    before = dict(mpl.rcParams)
    again = [svg(draw_curves({"a": ([0, 1], [1, 2])}, "s", "dB")).markup for _ in range(2)]
    assert again[0] == again[1]
    assert dict(mpl.rcParams) == before
    imports = re.findall(r"^\s*(?:import|from) .*", Path(plots.__file__).read_text(), re.M)
    assert not [line for line in imports if "pyplot" in line]


def test_plots_take_their_colors_and_fonts_from_the_page() -> None:
    markup = svg(draw_curves({"a": ([0, 1], [1, 2]), "b": ([0, 1], [2, 3])}, "s", "dB")).markup
    assert "var(--series-0, #0072b2)" in markup
    assert "currentColor" in markup
    assert not set(re.findall(r"(?:fill|stroke): (#\w+)", markup))
    assert "font-family" not in markup
    assert "<style" not in markup
    assert "xmlns" not in markup
    assert "width=" not in markup.split(">")[0]


@pytest.mark.parametrize("letters", [3, 8, 12, 18, 26])
def test_a_legend_stays_inside_and_tells_all_lines_apart(letters: int) -> None:
    names = [f"{k}" * letters for k in range(8)]
    drawing = draw_curves({name: ([0, 1], [0, k]) for k, name in enumerate(names)}, "x", "y")
    FigureCanvasAgg(drawing).draw()
    (axes,) = drawing.axes
    box = axes.get_legend().get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawing.bbox.x1
    assert box.y1 <= drawing.bbox.y1
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(names)

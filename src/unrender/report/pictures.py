"""The loop in one picture, for a README: photographs, and what each direction makes of them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from unrender.files import replacing

LETTER = 0.075
"""Inches that a letter of a label takes, at most."""
HEAD = 0.2
"""Inches for what stands over the columns."""

Row = tuple[str, Float[Tensor, "images height width 3"]]
"""A label, and one image a column."""


def write_picture(
    path: Path, rows: Sequence[Row], dots_an_inch: int = 100, heads: Sequence[str] = ()
) -> None:
    """`draw_picture` as a PNG."""
    figure = draw_picture(rows, heads)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dots_an_inch, facecolor="white")


def draw_picture(rows: Sequence[Row], heads: Sequence[str] = ()) -> Figure:
    """Images in a labelled grid; small ones are enlarged without smoothing.

    `heads` stand over the columns, if given.
    """
    columns = min(len(images) for _, images in rows)
    longest = max(len(line) for label, _ in rows for line in label.splitlines())
    margin = max(1.35, 0.25 + LETTER * longest)
    heights = [images.shape[1] / images.shape[2] for _, images in rows]
    above = HEAD if heads else 0.0
    height = 1.15 * sum(heights) + above
    figure = Figure(figsize=(margin + 1.15 * columns, height))
    left = margin / (margin + 1.15 * columns)
    grid = figure.subplots(
        len(rows),
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left,
            "right": 0.995,
            "top": 0.99 - above / height,
            "bottom": 0.01,
            "wspace": 0.03,
            "hspace": 0.03,
            "height_ratios": heights,
        },
    )
    for axes, (label, images) in zip(grid, rows, strict=True):
        for column in range(columns):
            axes[column].imshow(images[column].cpu().numpy(), interpolation="nearest")
            axes[column].axis("off")
        axes[0].text(
            -0.08,
            0.5,
            label,
            transform=axes[0].transAxes,
            ha="right",
            va="center",
            fontsize=9,
            color="#333333",
        )
    for axes, head in zip(grid[0], heads, strict=False):
        axes.set_title(head, fontsize=9, color="#333333", pad=3)
    return figure


def evenly(count: int, total: int) -> list[int]:
    """`count` indices spread over `total`."""
    return torch.linspace(0, total - 1, min(count, total)).round().long().tolist()

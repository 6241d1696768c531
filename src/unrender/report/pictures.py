"""Labeled grids of images, as files for a README or the docs."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from unrender.files import replacing
from unrender.imaging.panels import trimmed
from unrender.imaging.save import ImageList, padded

FONT_SIZE = 9
"""Points of labels and column titles."""
LINE = 0.16
"""Height of a line of text, in inches."""
CELL, ALL_CELLS = 1.15, 3.45
"""Width of an image, and least width of a whole row of images, in inches."""
LABEL_LENGTH = 15
"""Longest line of a label, in characters: labels never take a third of the picture."""
TEXT_COLOR = "#333333"
JPEG_QUALITY = 90

Row = tuple[str, ImageList]
"""A label, and one image for each column, of any sizes."""


def write_picture(
    path: Path, rows: Sequence[Row], dots_an_inch: int = 200, heads: Sequence[str] = ()
) -> None:
    """Write the figure of `draw_picture` as a .png or .jpg file, atomically."""
    write_figure(path, draw_picture(rows, heads), dots_an_inch)


def write_figure(path: Path, figure: Figure, dots_an_inch: int = 200) -> None:
    """Write a figure on white as a .png or .jpg file, atomically."""
    with replacing(path) as temporary:
        figure.savefig(
            temporary,
            format=path.suffix[1:],
            dpi=dots_an_inch,
            facecolor="white",
            pil_kwargs={"quality": JPEG_QUALITY} if path.suffix == ".jpg" else None,
        )


def draw_picture(rows: Sequence[Row], heads: Sequence[str] = ()) -> Figure:
    """Images in a grid with a label beside each row; small images are enlarged unsmoothed.

    `heads` are the titles of the columns, if given. Long labels and titles are wrapped.
    Margins that are white in all images are left out.
    """
    columns = min(len(images) for _, images in rows)
    cut = trimmed([padded([images[k] for k in range(columns)]) for _, images in rows])
    grid_rows = [(label, images) for (label, _), images in zip(rows, cut, strict=True)]
    cell = max(CELL, ALL_CELLS / columns)
    labels = [_wrapped(label, LABEL_LENGTH) for label, _ in rows]
    titles = [_wrapped(head, round(14 * cell)) for head in heads]
    margin = 0.2 + max(map(_inches, labels))
    above = 0.08 + LINE * max(title.count("\n") + 1 for title in titles) if titles else 0.02
    heights = [
        max(cell * images.shape[1] / images.shape[2], LINE * (label.count("\n") + 1))
        for label, (_, images) in zip(labels, grid_rows, strict=True)
    ]
    width, height = margin + cell * columns + 0.02, above + sum(heights) + 0.02
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(
        len(rows),
        columns,
        squeeze=False,
        gridspec_kw={
            "left": margin / width,
            "right": 1 - 0.02 / width,
            "top": 1 - above / height,
            "bottom": 0.02 / height,
            "wspace": 0.03,
            "hspace": 0.03,
            "height_ratios": heights,
        },
    )
    for axes, label, (_, images) in zip(grid, labels, grid_rows, strict=True):
        for column in range(columns):
            axes[column].imshow(images[column].cpu().numpy(), interpolation="nearest")
            axes[column].axis("off")
        axes[0].annotate(
            label,
            (0, 0.5),
            (-7, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=FONT_SIZE,
            color=TEXT_COLOR,
        )
    for axes, title in zip(grid[0], titles, strict=False):
        axes.set_title(title, fontsize=FONT_SIZE, color=TEXT_COLOR, pad=3)
    return figure


def _wrapped(text: str, length: int) -> str:
    lines = [textwrap.wrap(line, length) or [""] for line in text.splitlines()]
    return "\n".join(part for line in lines for part in line)


def _inches(text: str) -> float:
    """Width of the longest line."""
    widths = [
        float(TextPath((0, 0), line, size=FONT_SIZE).get_extents().width)
        for line in text.splitlines()
        if line.strip()
    ]
    return max(widths, default=0.0) / 72

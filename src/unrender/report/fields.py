"""Fields fitted to one picture, side by side: one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unrender.imaging.files import to_bytes
from unrender.report.compare import detailed_crop, wipe
from unrender.report.page import (
    Cell,
    Fragment,
    Page,
    beside,
    code,
    figure,
    group,
    image_grid,
    paragraph,
    section,
    table,
    video,
)
from unrender.report.plots import curves
from unrender.training.metrics import Entry, columns

BRIGHTEST = 0.99
"""The share of the photograph's derivatives that pictures of derivatives have room for."""
LABEL = 16
"""Pixels that a tile's name is high."""
Tile = Float[Tensor, "height width 3"]


@dataclass(frozen=True)
class Appearance:
    """A picture and its derivatives, of the mean of its colours, a pixel."""

    color: Float[Tensor, "height width 3"]
    """Over white where it is transparent."""
    slope: Float[Tensor, "height width"]
    """Length of the gradient."""
    laplacian: Float[Tensor, "height width"]


@dataclass(frozen=True)
class FittedField:
    """One kind of field after its fit."""

    kind: str
    parameters: int
    steps: int
    seconds: float
    """Of fitting alone."""
    mse: float
    psnr: float
    """Both over all pixels, at the end."""
    curve: Sequence[tuple[int, float, float]]
    """Steps, seconds and PSNR while it was fitted."""
    metrics: list[Entry]
    appearance: Appearance
    analytic: bool
    """Whether its Laplacian is the field's own, rather than that of its pixels."""


def write_field_comparison(
    path: Path,
    title: str,
    subtitle: str,
    truth: Appearance,
    fields: Sequence[FittedField],
    film: Path,
) -> None:
    """Write the page, whole or not at all. `film` shows how the fits came about."""
    looks = [("photograph", truth), *((field.kind, field.appearance) for field in fields)]
    versions = [(name, look.color[None]) for name, look in looks]
    page = Page(
        title,
        subtitle,
        (
            section("Figures", _figures(fields)),
            section("Any two", wipe(versions, 0, "The whole picture.")),
            section("How they learnt", _learning(fields), video(film, _FILM, wide=True)),
            section("Detail and derivatives", *_looks(truth, fields)),
        ),
    )
    page.write(path)


_FILM = "From the first steps to the last, each field at the same share of its budget."


def _figures(fields: Sequence[FittedField]) -> Fragment:
    rows: list[tuple[Cell, ...]] = [
        (
            code(field.kind),
            field.mse,
            field.psnr,
            field.parameters,
            field.steps,
            field.seconds,
            1000 * field.seconds / max(field.steps, 1),
        )
        for field in sorted(fields, key=lambda field: field.mse)
    ]
    header = ("field", "MSE", "PSNR, dB", "parameters", "steps", "seconds", "ms a step")
    return table(header, rows)


def _learning(fields: Sequence[FittedField]) -> Fragment:
    logs = {field.kind: field.metrics for field in fields}
    quality = {field.kind: list(zip(*field.curve, strict=True)) for field in fields}
    rows: list[Fragment] = []
    for column, name, axis in ((0, "step", "steps"), (1, "seconds", "seconds of fitting")):
        loss = {kind: columns(lines, name, "loss") for kind, lines in logs.items()}
        reached = {kind: (part[column], part[2]) for kind, part in quality.items() if part}
        rows.append(
            beside(
                figure(curves(loss, axis, "loss", log_y=True), "Mean error of batches."),
                figure(curves(reached, axis, "PSNR (dB)"), "Of pixels all over the picture."),
            )
        )
    return group(*rows)


def _looks(truth: Appearance, fields: Sequence[FittedField]) -> list[Fragment]:
    """The picture, its detail and its derivatives: a row each, a column a field."""
    crop = detailed_crop(truth.color)
    looks = [truth, *(field.appearance for field in fields)]
    slopes, laplacians = greys(truth, looks)
    rows = [
        ("picture", torch.stack([look.color for look in looks])),
        ("gradient", torch.stack(slopes)),
        ("Laplacian", torch.stack(laplacians)),
    ]
    labels = ["photograph", *(field.kind for field in fields)]
    own = ", ".join(field.kind for field in fields if field.analytic) or "none"
    return [
        paragraph(
            "Length of the gradient, and Laplacian, of the mean colour, a pixel: on the "
            "photograph's scale in all columns, the Laplacian with grey for 0. The "
            "photograph's are finite differences between pixels. The fields' gradients are "
            f"their own, by differentiation; so are the Laplacians of: {own}. The other fields "
            "have creases, where differentiation does not see what turns: their Laplacians are "
            "finite differences of their pixels."
        ),
        image_grid(rows, labels),
        paragraph("Where the photograph has most detail, enlarged without smoothing."),
        image_grid([("zoom", torch.stack([look.color[crop] for look in looks]))], labels),
    ]


def greys(truth: Appearance, looks: Sequence[Appearance]) -> tuple[list[Tile], list[Tile]]:
    """Gradients' lengths and Laplacians to look at, on the photograph's scale."""
    steepest, strongest = (
        max(float(_thinned(each).abs().flatten().quantile(BRIGHTEST)), 1e-6)
        for each in (truth.slope, truth.laplacian)
    )
    slopes = [_grey(look.slope / steepest) for look in looks]
    return slopes, [_grey(0.5 + look.laplacian / strongest / 2) for look in looks]


def _grey(values: Float[Tensor, "height width"]) -> Tile:
    return values.clamp(0, 1)[..., None].expand(-1, -1, 3)


def labelled(
    tiles: Sequence[tuple[str, Tile]], columns: int
) -> Float[Tensor, "sheet_height sheet_width 3"]:
    """Images of one size in rows, each below its name."""
    height, width, _ = tiles[0][1].shape
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + LABEL)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (name, tile) in enumerate(tiles):
        x, y = place % columns * width, place // columns * (height + LABEL)
        pen.text((x + 3, y + 1), name, "black", ImageFont.load_default(LABEL - 4))
        sheet.paste(Image.fromarray(to_bytes(tile).numpy()), (x, y + LABEL))
    return torch.from_numpy(np.array(sheet)).float() / 255


def _thinned(values: Float[Tensor, "height width"]) -> Float[Tensor, "rows columns"]:
    """Few enough numbers for a quantile."""
    every = max(1, round((values.numel() / 1e6) ** 0.5))
    return values[::every, ::every]

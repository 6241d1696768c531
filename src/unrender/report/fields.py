"""HTML page that compares neural fields fitted to one image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.report.compare import COMPARE_HINT, detailed_crop, wipe
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
from unrender.report.plots import draw_curves, svg
from unrender.training.metrics import Entry, columns

BRIGHTEST = 0.99
"""Quantile of the target image's derivatives at which images of derivatives saturate."""
Tile = Float[Tensor, "height width 3"]


@dataclass(frozen=True)
class Appearance:
    """An image and the derivatives of its mean color, per pixel."""

    color: Float[Tensor, "height width 3"]
    """RGB, composited over white."""
    slope: Float[Tensor, "height width"]
    """Gradient magnitude."""
    laplacian: Float[Tensor, "height width"]


@dataclass(frozen=True)
class FittedField:
    """One kind of field after it was fitted."""

    kind: str
    parameters: int
    steps: int
    seconds: float
    """Time of fitting alone."""
    mse: float
    psnr: float
    """MSE and PSNR over all pixels, at the end."""
    curve: Sequence[tuple[int, float, float]]
    """(step, seconds, PSNR) during fitting."""
    metrics: list[Entry]
    appearance: Appearance
    analytic: bool
    """Whether the Laplacian comes from automatic differentiation of the field, rather than from
    finite differences of its pixels."""


def write_field_comparison(
    path: Path,
    title: str,
    subtitle: str,
    truth: Appearance,
    fields: Sequence[FittedField],
    clip: Path,
) -> None:
    """Write the page atomically. `clip` is a video of the fits."""
    looks = [("target", truth), *((field.kind, field.appearance) for field in fields)]
    versions = [(name, look.color[None]) for name, look in looks]
    page = Page(
        title,
        subtitle,
        (
            section("Metrics", _figures(fields)),
            section(
                "Compare two results",
                paragraph(COMPARE_HINT),
                wipe(versions, 0, "The whole image."),
            ),
            section("Training curves", _learning(fields), video(clip, _CLIP, wide=True)),
            section("Detail and derivatives", *_looks(truth, fields)),
        ),
    )
    page.write(path)


_CLIP = "Progress of the fits: all fields have spent the same share of their budget."


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
    header = ("field", "MSE", "PSNR (dB)", "parameters", "steps", "time (s)", "ms/step")
    return table(header, rows)


def _learning(fields: Sequence[FittedField]) -> Fragment:
    logs = {field.kind: field.metrics for field in fields}
    quality = {field.kind: list(zip(*field.curve, strict=True)) for field in fields}
    rows: list[Fragment] = []
    for column, name, axis in ((0, "step", "steps"), (1, "seconds", "training time (s)")):
        loss = {kind: columns(lines, name, "loss") for kind, lines in logs.items()}
        reached = {kind: (part[column], part[2]) for kind, part in quality.items() if part}
        rows.append(
            beside(
                figure(
                    svg(draw_curves(loss, axis, "loss", log_y=True)),
                    "Loss of training batches.",
                ),
                figure(
                    svg(draw_curves(reached, axis, "PSNR (dB)")), "PSNR over the whole image."
                ),
            )
        )
    return group(*rows)


def _looks(truth: Appearance, fields: Sequence[FittedField]) -> list[Fragment]:
    """Image, derivatives and detail crop; one column for each field."""
    crop = detailed_crop(truth.color)
    looks = [truth, *(field.appearance for field in fields)]
    slopes, laplacians = greys(truth, looks)
    rows = [
        ("image", torch.stack([look.color for look in looks])),
        ("gradient", torch.stack(slopes)),
        ("Laplacian", torch.stack(laplacians)),
    ]
    labels = ["target", *(field.kind for field in fields)]
    own = ", ".join(field.kind for field in fields if field.analytic) or "none"
    return [
        paragraph(
            "Gradient magnitude and Laplacian of the mean color, per pixel. All columns share "
            "the target's scale; gray is 0 in the Laplacian. Derivatives of the target are "
            "finite differences of its pixels. Gradients of the fields are computed by "
            f"automatic differentiation, and so are the Laplacians of: {own}. The other fields "
            "are piecewise smooth, and their second derivatives vanish between the creases: "
            "their Laplacians are finite differences of their pixels."
        ),
        image_grid(rows, labels),
        paragraph("The crop with the most detail in the target, enlarged without smoothing."),
        image_grid([("zoom", torch.stack([look.color[crop] for look in looks]))], labels),
    ]


def greys(truth: Appearance, looks: Sequence[Appearance]) -> tuple[list[Tile], list[Tile]]:
    """Gray images of gradient magnitudes and Laplacians, on the target's scale."""
    steepest, strongest = (
        max(float(_thinned(each).abs().flatten().quantile(BRIGHTEST)), 1e-6)
        for each in (truth.slope, truth.laplacian)
    )
    slopes = [_grey(look.slope / steepest) for look in looks]
    return slopes, [_grey(0.5 + look.laplacian / strongest / 2) for look in looks]


def _grey(values: Float[Tensor, "height width"]) -> Tile:
    return values.clamp(0, 1)[..., None].expand(-1, -1, 3)


def _thinned(values: Float[Tensor, "height width"]) -> Float[Tensor, "rows columns"]:
    """A subsample that is small enough for `torch.quantile`."""
    every = max(1, round((values.numel() / 1e6) ** 0.5))
    return values[::every, ::every]

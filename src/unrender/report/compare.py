"""Several runs on the same views, side by side: one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.report.page import (
    Cell,
    Fragment,
    Page,
    code,
    image_grid,
    paragraph,
    png_uri,
    section,
    table,
)
from unrender.report.sections import training_curves
from unrender.training.metrics import Entry

ZOOM = 4
"""A crop is a ZOOMth of the image's width."""


@dataclass(frozen=True)
class Compared:
    """One run, judged."""

    name: str
    method: str
    figures: dict[str, Any]
    """As evaluation.json has them."""
    seconds: float
    """Of fitting."""
    megabytes: float
    """Of the model's parameters and buffers."""
    metrics: list[Entry]
    rendered: Float[Tensor, "views height width 3"]
    """The views that are shown."""


def write_comparison(
    path: Path,
    title: str,
    runs: Sequence[Compared],
    truth: Float[Tensor, "views height width 3"],
    labels: Sequence[str],
) -> None:
    """Write the page, whole or not at all; `truth` and `labels` are of the views shown."""
    rows: list[tuple[Cell, ...]] = [
        (
            run.name,
            code(run.method),
            float(run.figures["psnr"]),
            float(run.figures["ssim"]),
            round(run.seconds),
            float(run.figures["seconds_per_view"]),
            run.megabytes,
        )
        for run in sorted(runs, key=lambda run: -float(run.figures["psnr"]))
    ]
    header = ("run", "method", "PSNR, dB", "SSIM", "fit, s", "image, s", "model, MB")
    background = runs[0].figures["background"]
    all_images = [("truth", truth), *((run.name, run.rendered) for run in runs)]
    crops = [detailed_crop(image) for image in truth]
    zoomed = [
        (name, torch.stack([image[crop] for image, crop in zip(images, crops, strict=True)]))
        for name, images in all_images
    ]
    page = Page(
        title,
        f"{runs[0].figures['num_views']} test views of {truth.shape[2]}×{truth.shape[1]} "
        f"pixels that none was fitted to, over {background}.",
        (
            section("Figures", table(header, rows)),
            section("Any two", *(wipe(all_images, k, name) for k, name in enumerate(labels))),
            section(
                "The same pixels",
                paragraph("Where the truth has most detail, enlarged without smoothing."),
                image_grid(zoomed, labels),
            ),
            section("How they learnt", training_curves({r.name: r.metrics for r in runs})),
        ),
    )
    page.write(path)


def wipe(
    versions: Sequence[tuple[str, Float[Tensor, "views height width 3"]]], view: int, label: str
) -> Fragment:
    """Two versions of a view, one over the other, with an edge that the reader moves."""
    images = "".join(
        f'<img src="{png_uri(images[view])}" alt="{escape(name)}">' for name, images in versions
    )
    return Fragment(
        f'<figure class="wipe"><div class="all">{images}</div>'
        f"<figcaption>{escape(label)}</figcaption></figure>"
    )


def detailed_crop(image: Float[Tensor, "height width 3"]) -> tuple[slice, slice]:
    """The square of a ZOOMth of the width in which neighbouring pixels differ most."""
    height, width, _ = image.shape
    side = max(1, min(height, width // ZOOM))
    detail = torch.zeros(height, width)
    detail[:, 1:] += image.diff(dim=1).abs().sum(2)
    detail[1:] += image.diff(dim=0).abs().sum(2)
    sums = torch.nn.functional.avg_pool2d(detail[None], side, stride=max(1, side // 4))[0]
    best = int(sums.flatten().argmax())
    y, x = (step * max(1, side // 4) for step in divmod(best, sums.shape[1]))
    return slice(y, y + side), slice(x, x + side)

"""HTML page that compares several runs on the same test views."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.sizes import ImageSizes
from unrender.imaging.save import ImageList
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
"""The side of a crop is the image's width divided by this."""

COMPARE_HINT = "Choose a result for each side, and drag the edge between them."


@dataclass(frozen=True)
class Compared:
    """One evaluated run."""

    name: str
    method: str
    figures: dict[str, Any]
    """Metrics, as in evaluation.json."""
    seconds: float
    """Time of fitting."""
    megabytes: float
    """Size of the model's parameters and buffers."""
    metrics: list[Entry]
    """What the run logged."""
    rendered: ImageList
    """Renders of the views that the page shows."""


def write_comparison(
    path: Path,
    title: str,
    runs: Sequence[Compared],
    truth: ImageList,
    labels: Sequence[str],
) -> None:
    """Write the page atomically.

    `truth` are the ground-truth images of the views shown, and `labels` their names.
    """
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
    header = ("run", "method", "PSNR (dB)", "SSIM", "fit (s)", "s/image", "model (MB)")
    background = runs[0].figures["background"]
    all_images = [("ground truth", truth), *((run.name, run.rendered) for run in runs)]
    crops = [detailed_crop(image) for image in truth]
    zoomed = [
        (name, [image[crop] for image, crop in zip(images, crops, strict=True)])
        for name, images in all_images
    ]
    sizes = ImageSizes.of([(image.shape[1], image.shape[0]) for image in truth])
    page = Page(
        title,
        f"{runs[0].figures['num_views']} test views of {sizes} pixels "
        f"that no run was fitted to, over {background}.",
        (
            section("Metrics", table(header, rows)),
            section(
                "Compare two results",
                paragraph(COMPARE_HINT),
                *(wipe(all_images, k, name) for k, name in enumerate(labels)),
            ),
            section(
                "Detail crops",
                paragraph(
                    "The crop of each view with the most detail in the ground truth, enlarged "
                    "without smoothing."
                ),
                image_grid(zoomed, labels),
            ),
            section("Training curves", training_curves({r.name: r.metrics for r in runs})),
        ),
    )
    page.write(path)


def wipe(versions: Sequence[tuple[str, ImageList]], view: int, label: str) -> Fragment:
    """Two versions of a view with a slider that moves the edge between them.

    The page's script adds the slider, the menus that choose the two versions, and the name of
    each side. Without the script all versions stand side by side.
    """
    images = "".join(
        f'<img src="{png_uri(images[view])}" alt="{escape(name)}">' for name, images in versions
    )
    return Fragment(
        f'<figure class="wipe"><div class="all">{images}</div>'
        f"<figcaption>{escape(label)}</figcaption></figure>"
    )


def detailed_crop(image: Float[Tensor, "height width 3"]) -> tuple[slice, slice]:
    """The square crop, 1/ZOOM of the width, with the largest differences of adjacent pixels."""
    height, width, _ = image.shape
    side = max(1, min(height, width // ZOOM))
    detail = torch.zeros(height, width)
    detail[:, 1:] += image.diff(dim=1).abs().sum(2)
    detail[1:] += image.diff(dim=0).abs().sum(2)
    sums = torch.nn.functional.avg_pool2d(detail[None], side, stride=max(1, side // 4))[0]
    best = int(sums.flatten().argmax())
    y, x = (step * max(1, side // 4) for step in divmod(best, sums.shape[1]))
    return slice(y, y + side), slice(x, x + side)

"""Sections that the pages of runs and of the demo share."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.evaluation.poses import PoseScores, rank_correlation
from unrender.evaluation.renders import ImageEvaluation
from unrender.geometry.paths import evenly
from unrender.imaging.save import ImageList
from unrender.rendering.renderer import PoseEstimate
from unrender.report.page import Fragment, beside, figure, image_grid, paragraph
from unrender.report.plots import draw_curves, draw_histogram, draw_scatter, svg
from unrender.training.metrics import Entry, columns

SHOWN_VIEWS = 6
ERROR_GAIN = 5


def view_labels(views: Views, indices: list[int]) -> list[str]:
    """Heading of each view: its file name without extension, or its index."""
    names = views.names
    return [Path(names[i]).stem if names else f"view {i}" for i in indices]


def background_of(evaluation: ImageEvaluation) -> str:
    """The background of renders and ground truth, in words."""
    if evaluation.background == "white":
        return "white"
    return f"the background of the images (RGB {evaluation.background})"


def decibels(psnr: float) -> str:
    return "no error" if psnr == math.inf else f"{psnr:.1f} dB"


def error_map(evaluation: ImageEvaluation, index: int) -> Float[Tensor, "height width 3"]:
    """Mean absolute error of a view's channels, times 5 and inverted: white means no error."""
    difference = (evaluation.rendered[index] - evaluation.truth[index]).abs()
    error = difference.mean(dim=-1, keepdim=True).expand_as(difference)
    return (1 - ERROR_GAIN * error).clamp(0, 1)


def view_grid(
    measured: ImageEvaluation,
    versions: Mapping[str, ImageList],
    error: bool = False,
) -> Fragment:
    """Some of the test views: the ground truth, a row for each version, and the error.

    The number above each view is its PSNR as `measured`.
    """
    indices = evenly(SHOWN_VIEWS, len(measured.views))
    labels = view_labels(measured.views, indices)
    psnr = [decibels(value) for value in measured.scores.psnr[indices].tolist()]
    everything = {"ground truth": measured.truth, **versions}
    rows = [(name, [images[k] for k in indices]) for name, images in everything.items()]
    if error:
        rows.append(("error ×5", [error_map(measured, k) for k in indices]))
    return image_grid(
        rows,
        [f"{label}\n{text}" for label, text in zip(labels, psnr, strict=True)],
    )


def training_curves(entries: Mapping[str, list[Entry]]) -> Fragment:
    """Loss and PSNR over training time, of one or several runs by name."""
    if not any(entries.values()):
        return paragraph("No training log, hence no curves.")
    loss = {name: columns(lines, "seconds", "loss") for name, lines in entries.items()}
    quality = {name: columns(lines, "seconds", "psnr") for name, lines in entries.items()}
    pieces = [
        figure(
            svg(draw_curves(loss, "training time (s)", "loss", log_y=True)),
            "Training loss. Losses of different methods are not comparable.",
        )
    ]
    if any(xs for xs, _ in quality.values()):
        pieces.append(
            figure(
                svg(draw_curves(quality, "training time (s)", "PSNR of training batches (dB)")),
                "PSNR of training batches, which is not the PSNR of the test views.",
            )
        )
    return beside(*pieces)


def pose_errors(
    scores: Mapping[str, PoseScores], estimates: Mapping[str, PoseEstimate]
) -> Fragment:
    """Histograms of both errors, and actual over expected errors."""
    rotation = {name: each.rotation_deg.tolist() for name, each in scores.items()}
    translation = {name: each.translation_percent.tolist() for name, each in scores.items()}
    expected = {name: each.rotation_error.cpu().rad2deg() for name, each in estimates.items()}
    pairs = {name: (expected[name].tolist(), rotation[name]) for name in scores}
    knows = {
        name: rank_correlation(expected[name], each.rotation_deg)
        for name, each in scores.items()
    }
    correlations = ", ".join(
        f"{name} {'undefined' if math.isnan(value) else f'{value:.2f}'}"
        for name, value in knows.items()
    )
    return beside(
        figure(
            svg(draw_histogram(rotation, "rotation error (degrees)")),
            "Angle between the estimated and the true rotation, for all test views.",
        ),
        figure(
            svg(draw_histogram(translation, "translation error (% of the radius)")),
            "Distance between the estimated and the true camera center, in percent of the true "
            "center's distance from the origin.",
        ),
        figure(
            svg(
                draw_scatter(
                    pairs,
                    "expected rotation error (degrees)",
                    "actual rotation error (degrees)",
                    "as expected",
                )
            ),
            "Each estimate has a predicted error; estimates above the line are overconfident. "
            f"Rank correlation: {correlations}.",
        ),
    )


def flattened(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in figures.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat

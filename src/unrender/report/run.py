"""HTML page of one run: metrics on the test views, training curves and configuration."""

import json
from html import escape
from pathlib import Path

from unrender.data.views import Views
from unrender.evaluation.images import ImageScores
from unrender.evaluation.poses import PoseScores
from unrender.evaluation.renders import ImageEvaluation
from unrender.evaluation.scores import Scores
from unrender.rendering.renderer import PoseEstimate
from unrender.report.cameras3d import CameraSet, camera_view, point_cloud
from unrender.report.page import (
    Cell,
    Fragment,
    Page,
    code,
    collapsible,
    figure_table,
    paragraph,
    section,
    table,
    tiles,
)
from unrender.report.sections import (
    background_of,
    decibels,
    flattened,
    pose_errors,
    training_curves,
    view_grid,
    view_labels,
)
from unrender.training.metrics import Entry
from unrender.training.record import Record


def write_run_report(
    path: Path,
    run: Record,
    views: Views,
    images: ImageEvaluation | None,
    estimate: PoseEstimate | None,
    poses: PoseScores | None,
) -> None:
    """Write one self-contained page, atomically.

    `views` are the test views; `images` are the renders of a method that makes images;
    `estimate` and `poses` are the results of a method that estimates poses. Raises InputError
    if the log is damaged or the path cannot be written.
    """
    config = run.config
    method = config.get("method")
    described = method if isinstance(method, dict) else {}
    name = str(described.get("preset", described.get("name", "?")))
    cameras = views.cameras
    over = "" if images is None else f", over {background_of(images)}"
    page = Page(
        f"{run.name}: {name}",
        f"Evaluated on {len(views)} held-out test views of {cameras.sizes} pixels{over}.",
        (
            _headline(images, poses),
            *_renders(images),
            *_poses(name, views, images, estimate, poses),
            section("Training curves", training_curves({name: run.metrics})),
            _figures(views, images, poses),
            section("Configuration", collapsible("config.json", _config(config))),
        ),
    )
    page.write(path)


def run_summary(title: str, entries: list[Entry], scores: Scores) -> str:
    """A run's training curves and scores as HTML for a notebook."""
    curves = training_curves({"": entries}).markup if entries else ""
    style = (
        "<style>.unrender-run figure{display:inline-block;width:24em;max-width:100%;margin:0}"
        ".unrender-run svg{width:100%;height:auto}</style>"
    )
    shown = f'<div class="unrender-run">{curves}</div>' if curves else ""
    return f"{style}<b>{escape(title)}</b>{shown}{scores.to_html()}"


def _headline(images: ImageEvaluation | None, poses: PoseScores | None) -> Fragment:
    shown: list[tuple[str, str, str]] = []
    if images is not None:
        scores, seconds = images.scores, images.seconds / len(images.views)
        shown += [
            (decibels(scores.mean_psnr), "PSNR", "mean over the test views"),
            (f"{scores.mean_ssim:.3f}", "SSIM", "mean over the test views"),
            (f"{seconds:.2g} s", "per image", "at the size of the test views"),
        ]
    if poses is not None:
        shown += [
            (f"{poses.rotation_deg_median:.2f}°", "rotation error", "median"),
            (f"{poses.translation_percent_median:.2f}%", "translation error", "median"),
        ]
    return tiles(shown)


def _renders(images: ImageEvaluation | None) -> tuple[Fragment, ...]:
    if images is None:
        return ()
    shown = section(
        "Renders and ground truth",
        paragraph(
            "The number above each view is its PSNR; white in the last row means no error."
        ),
        view_grid(images, {"render": images.rendered}, error=True),
    )
    return (shown,)


def _poses(
    name: str,
    views: Views,
    images: ImageEvaluation | None,
    estimate: PoseEstimate | None,
    poses: PoseScores | None,
) -> tuple[Fragment, ...]:
    if estimate is None or poses is None:
        return ()
    view = camera_view(
        (
            CameraSet("true cameras", views.cameras),
            CameraSet("recovered from the images", estimate.cameras),
        ),
        None if images is None else point_cloud(images),
        "A line joins each recovered camera to the true one.",
    )
    return (
        section("Recovered cameras", view),
        section("Pose errors", pose_errors({name: poses}, {name: estimate})),
    )


def _lpips(scores: ImageScores) -> list[tuple[str, Cell, str]]:
    if scores.lpips is None:
        return []
    return [("lpips", scores.lpips.mean().item(), "LPIPS, mean over the test views")]


def _figures(
    views: Views, images: ImageEvaluation | None, poses: PoseScores | None
) -> Fragment:
    """Summary metrics, and a collapsed table of the metrics of each view."""
    rows: list[tuple[str, Cell, str]] = [("num_views", len(views), "Number of test views")]
    header = ["view"]
    columns: list[list[float]] = []
    if images is not None:
        scores = images.scores
        rows += [
            ("psnr", scores.mean_psnr, "PSNR in dB, mean over the test views"),
            ("ssim", scores.mean_ssim, "SSIM, 11×11 window, data range 1"),
            *_lpips(scores),
            (
                "seconds_per_view",
                images.seconds / len(views),
                "Time to render one image, in seconds",
            ),
        ]
        header += ["PSNR (dB)", "SSIM"]
        columns += [scores.psnr.tolist(), scores.ssim.tolist()]
        if scores.lpips is not None:
            header.append("LPIPS")
            columns.append(scores.lpips.tolist())
    if poses is not None:
        rows += [
            (
                "poses.rotation_deg_median",
                poses.rotation_deg_median,
                "Median rotation error, in degrees",
            ),
            (
                "poses.rotation_deg_mean",
                poses.rotation_deg_mean,
                "Mean rotation error, in degrees",
            ),
            (
                "poses.translation_percent_median",
                poses.translation_percent_median,
                "Median translation error, in percent of the radius",
            ),
            (
                "poses.under_5deg",
                poses.under_5deg,
                "Share of the views with a rotation error below 5°",
            ),
        ]
        header += ["rotation error (degrees)", "translation error (%)"]
        columns += [poses.rotation_deg.tolist(), poses.translation_percent.tolist()]
    names = view_labels(views, list(range(len(views))))
    each = [(name, *values) for name, *values in zip(names, *columns, strict=True)]
    return section(
        "Metrics",
        figure_table(rows),
        collapsible("Metrics of each view", table(header, each)),
    )


def _config(config: dict[str, object]) -> Fragment:
    rows: list[tuple[Cell, ...]] = [
        (code(key), code(value if isinstance(value, str) else json.dumps(value)))
        for key, value in flattened(config).items()
    ]
    return table(("option", "value"), rows)

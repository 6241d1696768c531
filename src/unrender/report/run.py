"""The page of one run: what it was, how it learnt, and how it does on the test views."""

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
    image_grid,
    paragraph,
    section,
    table,
    tiles,
)
from unrender.report.sections import (
    background_of,
    decibels,
    error_map,
    evenly_spaced,
    flattened,
    pose_errors,
    training_curves,
    view_labels,
    with_psnr,
)
from unrender.training.metrics import Entry
from unrender.training.run_folder import Record


def write_run_report(
    path: Path,
    run: Record,
    views: Views,
    images: ImageEvaluation | None,
    estimate: PoseEstimate | None,
    poses: PoseScores | None,
) -> None:
    """Write one self-contained page, whole or not at all.

    `views` are the test views; `images` what a method that makes images makes of them, and
    `estimate` and `poses` are those of a method that finds poses. Raises InputError for a log
    that is damaged and a path that cannot be written.
    """
    config = run.config
    method = config.get("method")
    described = method if isinstance(method, dict) else {}
    name = str(described.get("preset", described.get("name", "?")))
    cameras = views.cameras
    over = "" if images is None else f", over {background_of(images)}"
    page = Page(
        f"{run.name}: {name}",
        f"Judged on {len(views)} test views of {cameras.width}×{cameras.height} pixels "
        f"that it was not fitted to{over}.",
        (
            _headline(images, poses),
            *_renders(images),
            *_poses(name, views, images, estimate, poses),
            section("How it learnt", training_curves({name: run.metrics})),
            _figures(views, images, poses),
            section("What it was", collapsible("config.json", _config(config))),
        ),
    )
    page.write(path)


def run_summary(title: str, entries: list[Entry], scores: Scores) -> str:
    """A run's training curves and scores as HTML for a notebook."""
    curves = training_curves({"": entries}).markup if entries else ""
    return f"<b>{escape(title)}</b>{curves}{scores.to_html()}"


def _headline(images: ImageEvaluation | None, poses: PoseScores | None) -> Fragment:
    shown: list[tuple[str, str, str]] = []
    if images is not None:
        scores, seconds = images.scores, images.seconds / len(images.views)
        shown += [
            (decibels(scores.mean_psnr), "PSNR", "mean of the test views"),
            (f"{scores.mean_ssim:.3f}", "SSIM", "mean of the test views"),
            (f"{seconds:.2g} s", "for one image", "of the test size"),
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
    indices = evenly_spaced(len(images.views))
    labels = view_labels(images.views, indices)
    captions = [f"{a}\n{b}" for a, b in zip(labels, with_psnr(images, indices), strict=True)]
    shown = section(
        "Renders beside the truth",
        paragraph(
            "The number above each view is its PSNR; white in the last row means no error."
        ),
        image_grid(
            [
                ("truth", images.truth[indices].cpu()),
                ("render", images.rendered[indices].cpu()),
                ("error ×5", error_map(images, indices).cpu()),
            ],
            captions,
        ),
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
        section("How far off they are", pose_errors({name: poses}, {name: estimate})),
    )


def _lpips(scores: ImageScores) -> list[tuple[str, Cell, str]]:
    if scores.lpips is None:
        return []
    return [("lpips", scores.lpips.mean().item(), "LPIPS, the mean of the test views")]


def _figures(
    views: Views, images: ImageEvaluation | None, poses: PoseScores | None
) -> Fragment:
    """Summary figures, and those of each view to unfold."""
    rows: list[tuple[str, Cell, str]] = [("num_views", len(views), "Test views")]
    header = ["view"]
    columns: list[list[float]] = []
    if images is not None:
        scores = images.scores
        rows += [
            ("psnr", scores.mean_psnr, "PSNR in dB, the mean of the test views"),
            ("ssim", scores.mean_ssim, "SSIM, window of 11×11 pixels, data range 1"),
            *_lpips(scores),
            (
                "seconds_per_view",
                images.seconds / len(views),
                "Seconds that one image takes to render",
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
                "Rotation error in degrees, the median",
            ),
            (
                "poses.rotation_deg_mean",
                poses.rotation_deg_mean,
                "Rotation error in degrees, the mean",
            ),
            (
                "poses.translation_percent_median",
                poses.translation_percent_median,
                "Translation error in percent of the radius, the median",
            ),
            (
                "poses.under_5deg",
                poses.under_5deg,
                "Share of the views whose rotation is less than 5° off",
            ),
        ]
        header += ["rotation error (degrees)", "translation error (%)"]
        columns += [poses.rotation_deg.tolist(), poses.translation_percent.tolist()]
    names = view_labels(views, list(range(len(views))))
    each = [(name, *values) for name, *values in zip(names, *columns, strict=True)]
    return section(
        "All figures",
        figure_table(rows),
        collapsible("Figures of each view", table(header, each)),
    )


def _config(config: dict[str, object]) -> Fragment:
    rows: list[tuple[Cell, ...]] = [
        (code(key), code(value if isinstance(value, str) else json.dumps(value)))
        for key, value in flattened(config).items()
    ]
    return table(("option", "value"), rows)

"""The page of the whole loop: images → scene → views → flow → images and poses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrender.data.dataset import Dataset
from unrender.evaluation.poses import PoseScores
from unrender.evaluation.renders import ImageEvaluation
from unrender.rendering.renderer import PoseEstimate
from unrender.report.cameras3d import CameraSet, camera_picture, camera_view, point_cloud
from unrender.report.page import (
    Cell,
    Fragment,
    Page,
    beside,
    collapsible,
    figure_table,
    image_grid,
    paragraph,
    section,
    tiles,
    video,
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
from unrender.training.metrics import read_metrics

MEANING = {
    "scene.name": "The scene",
    "scene.train_views": "Images that the scene was fitted to",
    "scene.test_views": "Images that nothing was fitted to; all figures are on these",
    "fit.method": "What was fitted to the images",
    "fit.psnr": "PSNR of the scene's renders at full size, in dB, the mean of the views",
    "fit.ssim": "SSIM of the same renders, window of 11×11 pixels, data range 1",
    "fit.seconds": "Seconds of fitting the scene",
    "flow.psnr_mean_start": "PSNR in dB of the flow's images, started at the pose, no noise",
    "flow.psnr_sampled_start": "The same, started at the pose with noise",
    "flow.ceiling_psnr": "PSNR in dB of the scene the flow learnt from, at its size",
    "flow.seconds": "Seconds of training the flow",
    "flow.train_views": "Images that the scene rendered for the flow to learn from",
    "pose.rotation_deg_median": "Rotation error of the flow's poses in degrees, the median",
    "pose.rotation_deg_mean": "Rotation error of the flow's poses in degrees, the mean",
    "pose.translation_percent_median": "Error of the flow's camera centres in percent of the "
    "radius, the median",
    "pose.under_5deg": "Share of the flow's poses whose rotation is less than 5° off",
    "pose.refined_rotation_deg_median": "The same after refining on the fitted scene",
    "pose.num_views": "Images whose poses were sought",
    "total_seconds": "Seconds of everything",
    "peak_memory_mb": "Largest memory in use, in MB",
    "nearest_view_psnr": "PSNR in dB of the training view with the nearest pose, looked up",
    "inversion_20_steps_rotation_deg_median": "Rotation error of the flow run back in 20 steps",
    "pose_seconds_per_view": "Seconds that the flow takes for one pose",
    "refine_seconds_per_view": "Seconds that refining takes for one pose",
}
"""What each figure is, by its dotted key in summary.json or its name in details.json."""


@dataclass(frozen=True)
class Outcome:
    """All that the loop brought forth, on test views that nothing was fitted to."""

    scene: Dataset
    fitted: ImageEvaluation
    """The fitted scene at full size."""
    ceiling: ImageEvaluation
    """The fitted scene at the flow's size: what the flow learnt from."""
    mean_start: ImageEvaluation
    """The flow, started at the pose without noise."""
    sampled_start: ImageEvaluation
    """The flow, started at the pose with noise."""
    estimate: PoseEstimate
    """Poses that the flow found."""
    flow_scores: PoseScores
    refined: PoseEstimate
    """The same, refined on the fitted scene."""
    refined_scores: PoseScores
    details: dict[str, Any]
    """Further figures, by name."""


def write_report(path: Path, outcome: Outcome, figures: dict[str, Any], folder: Path) -> None:
    """Write one self-contained page, whole or not at all.

    `figures` are those of summary.json; `folder` holds scene/metrics.jsonl, flow/metrics.jsonl,
    scene.mp4 and flow.mp4. Raises InputError for a film or log that is missing or damaged, and
    for a path that cannot be written.
    """
    scene = outcome.scene
    page = Page(
        f"unrender: {scene.name}",
        f"From {len(scene.train)} images to a scene, from poses to images, and from images "
        f"back to poses. All figures are on {len(scene.test)} test views that neither the "
        "scene nor the flow has seen.",
        (
            _headline(outcome, figures),
            _directions(outcome, folder),
            _scene_section(outcome),
            _flow_section(outcome),
            _camera_section(outcome),
            section(
                "How they learnt",
                training_curves(
                    {
                        "scene": read_metrics(folder / "scene" / "metrics.jsonl"),
                        "flow": read_metrics(folder / "flow" / "metrics.jsonl"),
                    }
                ),
            ),
            _figure_section(outcome, figures),
        ),
    )
    page.write(path)


def _headline(outcome: Outcome, figures: dict[str, Any]) -> Fragment:
    fitted, mean = outcome.fitted.scores, outcome.mean_start.scores
    flow, refined = outcome.flow_scores, outcome.refined_scores
    size = outcome.mean_start.views.cameras.width
    return tiles(
        [
            (decibels(fitted.mean_psnr), "images → scene", "PSNR of the fitted scene"),
            (decibels(mean.mean_psnr), "poses → images", f"PSNR of the flow, {size}×{size}"),
            (
                f"{flow.rotation_deg_median:.2f}°",
                "images → poses",
                "flow, median rotation error",
            ),
            (f"{refined.rotation_deg_median:.2f}°", "refined poses", "on the scene, median"),
            (_duration(figures["total_seconds"]), "from start to end", "with all of the above"),
        ]
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def _scene_section(outcome: Outcome) -> Fragment:
    fitted = outcome.fitted
    indices = evenly_spaced(len(fitted.views))
    labels = view_labels(fitted.views, indices)
    quality = with_psnr(fitted, indices)
    cameras = fitted.views.cameras
    return section(
        "Images → scene",
        paragraph(
            f"A radiance field was fitted to {len(outcome.scene.train)} images of "
            f"{cameras.width}×{cameras.height} pixels. Here it is seen from cameras it was not "
            f"fitted to: {fitted.scores.mean_psnr:.2f} dB PSNR and "
            f"{fitted.scores.mean_ssim:.3f} SSIM on average over the test views, on "
            f"{background_of(fitted)}. The number above each view is its PSNR; white in the "
            "last row means no error."
        ),
        image_grid(
            [
                ("truth", fitted.truth[indices].cpu()),
                ("fitted scene", fitted.rendered[indices].cpu()),
                ("error ×5", error_map(fitted, indices).cpu()),
            ],
            [f"{label}\n{psnr}" for label, psnr in zip(labels, quality, strict=True)],
        ),
    )


def _camera_sets(outcome: Outcome) -> tuple[CameraSet, ...]:
    return (
        CameraSet("true cameras", outcome.scene.test.cameras),
        CameraSet("flow", outcome.estimate.cameras),
        CameraSet("refined on the scene", outcome.refined.cameras),
    )


def _directions(outcome: Outcome, folder: Path) -> Fragment:
    """The three directions in three pictures."""
    size = outcome.mean_start.views.cameras.width
    return beside(
        video(folder / "scene.mp4", "Images → scene: the fitted scene, once around."),
        video(
            folder / "flow.mp4",
            "Poses → images: the same way around, each frame drawn by the flow from the twelve "
            f"numbers of its pose, at {size}×{size} pixels.",
        ),
        camera_picture(
            _camera_sets(outcome),
            point_cloud(outcome.fitted),
            "Images → poses: the cameras of the test images (grey), as the flow finds them "
            "(orange), and as the scene refines them (blue).",
        ),
    )


def _flow_section(outcome: Outcome) -> Fragment:
    ceiling, mean, sampled = outcome.ceiling, outcome.mean_start, outcome.sampled_start
    indices = evenly_spaced(len(ceiling.views))
    cameras = ceiling.views.cameras
    return section(
        "Poses → images",
        paragraph(
            "The scene rendered images from random cameras, and a flow learnt to turn the "
            f"twelve numbers of a pose into the {cameras.width}×{cameras.height} pixels seen "
            f"from there. It reaches {mean.scores.mean_psnr:.2f} dB when started at the pose "
            f"itself, and {sampled.scores.mean_psnr:.2f} dB when noise is added first. The "
            f"scene that it learnt from has {ceiling.scores.mean_psnr:.2f} dB at this size. "
            "The number above each view is the PSNR of the flow without noise."
        ),
        image_grid(
            [
                ("truth", ceiling.truth[indices].cpu()),
                ("fitted scene", ceiling.rendered[indices].cpu()),
                ("flow, no noise", mean.rendered[indices].cpu()),
                ("flow, noise", sampled.rendered[indices].cpu()),
            ],
            [
                f"{label}\n{psnr}"
                for label, psnr in zip(
                    view_labels(ceiling.views, indices), with_psnr(mean, indices), strict=True
                )
            ],
        ),
    )


def _camera_section(outcome: Outcome) -> Fragment:
    flow, refined = outcome.flow_scores, outcome.refined_scores
    return section(
        "Images → poses",
        paragraph(
            "Run backwards, the same flow turns an image into the pose it was taken from, and "
            "a short search from there finds the pose whose image it would make: "
            f"{flow.rotation_deg_median:.2f}° off in the median, {flow.under_5deg:.0%} of the "
            "views less than 5°. Rendering the scene from there, comparing, and following the "
            f"gradient refines that to {refined.rotation_deg_median:.2f}°."
        ),
        camera_view(
            _camera_sets(outcome),
            point_cloud(outcome.fitted),
            "The cameras of the test images around the fitted scene. A line joins each "
            "recovered camera to the true one.",
        ),
        # Refined comes first, so that it has the scene's colour and the flow its own.
        pose_errors(
            {"refined": refined, "flow": flow},
            {"refined": outcome.refined, "flow": outcome.estimate},
        ),
    )


def _figure_section(outcome: Outcome, figures: dict[str, Any]) -> Fragment:
    details = flattened(outcome.details)
    rows = _rows(flattened(figures))
    more = [collapsible("Further figures", figure_table(_rows(details)))]
    return section(
        "All figures",
        paragraph("As they stand in summary.json."),
        figure_table(rows),
        *(more if details else []),
    )


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, Cell, str]]:
    return [(key, _cell(value), MEANING.get(key, "")) for key, value in figures.items()]


def _cell(value: object) -> Cell:
    """Numbers as numbers, anything else as text; null stands for a figure that is undefined."""
    if value is None:
        return "–"
    return value if isinstance(value, int | float) else str(value)

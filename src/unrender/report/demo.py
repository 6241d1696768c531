"""HTML page of the whole loop: images → scene → views → flow → images and poses.

"Scene" is the fitted radiance field. "Flow" is a flow-matching transformer (SiT) whose source
distribution is the camera pose.
"""

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
    paragraph,
    section,
    tiles,
    video,
)
from unrender.report.sections import (
    background_of,
    decibels,
    flattened,
    pose_errors,
    training_curves,
    view_grid,
)
from unrender.training.metrics import read_metrics

MEANING = {
    "scene.name": "Name of the dataset",
    "scene.train_views": "Number of training images",
    "scene.test_views": "Number of held-out test images; all metrics are computed on these",
    "fit.method": "Method fitted to the training images",
    "fit.psnr": "Mean PSNR of the scene's renders at full size, in dB",
    "fit.ssim": "Mean SSIM of the same renders (11×11 window, data range 1)",
    "fit.seconds": "Time to fit the scene, in seconds",
    "flow.psnr_mean_start": "Mean PSNR of the flow's images without noise at the source, in dB",
    "flow.psnr_sampled_start": "Mean PSNR of the flow's images with noise at the source, in dB",
    "flow.ceiling_psnr": "Mean PSNR of the fitted scene at the flow's image size, in dB",
    "flow.seconds": "Time to train the flow, in seconds",
    "flow.train_views": "Number of rendered training images of the flow",
    "pose.rotation_deg_median": "Median rotation error of the flow's poses, in degrees",
    "pose.rotation_deg_mean": "Mean rotation error of the flow's poses, in degrees",
    "pose.translation_percent_median": "Median error of the flow's camera centers, in percent "
    "of the radius",
    "pose.under_5deg": "Share of the flow's poses with a rotation error below 5°",
    "pose.refined_rotation_deg_median": "Median rotation error after refinement on the fitted "
    "scene, in degrees",
    "pose.num_views": "Number of images whose poses were estimated",
    "total_seconds": "Total time, in seconds",
    "peak_memory_mb": "Peak memory, in MB",
    "nearest_view_psnr": "Baseline: PSNR of the training view with the nearest pose, in dB",
    "inversion_20_steps_rotation_deg_median": "Median rotation error of the flow, inverted in "
    "20 steps, in degrees",
    "pose_seconds_per_view": "Time of the flow for one pose, in seconds",
    "refine_seconds_per_view": "Time of the refinement of one pose, in seconds",
}
"""Meaning of each metric, by its dotted key in summary.json or its name in details.json."""


@dataclass(frozen=True)
class Outcome:
    """Results of the whole loop on the held-out test views."""

    scene: Dataset
    fitted: ImageEvaluation
    """The fitted scene at full size."""
    ceiling: ImageEvaluation
    """The fitted scene at the flow's image size. The flow is trained on such renders."""
    mean_start: ImageEvaluation
    """Images of the flow, integrated from the pose without noise."""
    sampled_start: ImageEvaluation
    """Images of the flow, integrated from the pose with noise."""
    estimate: PoseEstimate
    """Poses estimated by the flow."""
    flow_scores: PoseScores
    refined: PoseEstimate
    """The same poses, refined by rendering the fitted scene."""
    refined_scores: PoseScores
    details: dict[str, Any]
    """Further metrics, by name."""
    flow_views: int = 0
    """Rendered training images of the flow."""
    method: str = ""
    """Preset that was fitted to the images, and why."""
    notes: tuple[str, ...] = ()
    """What did not go well, in sentences."""


def write_report(path: Path, outcome: Outcome, figures: dict[str, Any], folder: Path) -> None:
    """Write one self-contained page, atomically.

    `figures` are the metrics in summary.json; `folder` contains scene/metrics.jsonl,
    flow/metrics.jsonl, scene.mp4 and flow.mp4. Raises InputError if a video or log is missing
    or damaged, or if the path cannot be written.
    """
    scene = outcome.scene
    page = Page(
        f"unrender: {scene.name}",
        f"From {len(scene.train)} images to a scene, from poses to images, and from images "
        f"back to poses. All metrics are on {len(scene.test)} held-out test views, which "
        "neither the scene nor the flow was trained on.",
        (
            _headline(outcome, figures),
            *_notes(outcome),
            _directions(outcome, folder),
            _scene_section(outcome),
            _flow_section(outcome),
            _camera_section(outcome),
            section(
                "Training curves",
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
                "median rotation error of the flow",
            ),
            (f"{refined.rotation_deg_median:.2f}°", "refined poses", "median rotation error"),
            (_duration(figures["total_seconds"]), "total time", "of all of the above"),
        ]
    )


def _notes(outcome: Outcome) -> list[Fragment]:
    """What did not go well, if anything."""
    if not outcome.notes:
        return []
    return [section("What to know about this run", *map(paragraph, outcome.notes))]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"


def _scene_section(outcome: Outcome) -> Fragment:
    fitted = outcome.fitted
    cameras = fitted.views.cameras
    return section(
        "Images → scene",
        paragraph(
            f"A radiance field{f' ({outcome.method})' if outcome.method else ''} was fitted to "
            f"{len(outcome.scene.train)} images of "
            f"{cameras.sizes} pixels. These are renders of held-out views: "
            f"{fitted.scores.mean_psnr:.2f} dB PSNR and "
            f"{fitted.scores.mean_ssim:.3f} SSIM on average over the test views, over "
            f"{background_of(fitted)}. The number above each view is its PSNR; white in the "
            "last row means no error."
        ),
        view_grid(fitted, {"fitted scene": fitted.rendered}, error=True),
    )


def _camera_sets(outcome: Outcome) -> tuple[CameraSet, ...]:
    return (
        CameraSet("true cameras", outcome.scene.test.cameras),
        CameraSet("flow", outcome.estimate.cameras),
        CameraSet("refined on the scene", outcome.refined.cameras),
    )


def _directions(outcome: Outcome, folder: Path) -> Fragment:
    """One video or drawing for each of the three directions."""
    size = outcome.mean_start.views.cameras.width
    return beside(
        video(folder / "scene.mp4", "Images → scene: a turntable of the fitted scene."),
        video(
            folder / "flow.mp4",
            "Poses → images: the same turntable, each frame generated by the flow from its "
            f"camera pose, at {size}×{size} pixels.",
        ),
        camera_picture(
            _camera_sets(outcome),
            point_cloud(outcome.fitted),
            "Images → poses: true cameras of the test images (gray), the flow's estimates "
            "(orange), and their refinement on the fitted scene (blue).",
        ),
    )


def _flow_section(outcome: Outcome) -> Fragment:
    ceiling, mean, sampled = outcome.ceiling, outcome.mean_start, outcome.sampled_start
    cameras = ceiling.views.cameras
    return section(
        "Poses → images",
        paragraph(
            "The flow, a flow-matching transformer (SiT) whose source is the camera pose, was "
            "trained on renders of the scene from random cameras. From a pose it generates the "
            f"{cameras.width}×{cameras.height} image of that view. It reaches "
            f"{mean.scores.mean_psnr:.2f} dB when it starts from the pose itself, and "
            f"{sampled.scores.mean_psnr:.2f} dB when noise is added to the pose. The scene "
            f"reaches {ceiling.scores.mean_psnr:.2f} dB at this image size. "
            "The number above each view is the PSNR of the flow without noise."
        ),
        view_grid(
            mean,
            {
                "fitted scene": ceiling.rendered,
                "flow, no noise": mean.rendered,
                "flow, with noise": sampled.rendered,
            },
        ),
    )


def _camera_section(outcome: Outcome) -> Fragment:
    flow, refined = outcome.flow_scores, outcome.refined_scores
    return section(
        "Images → poses",
        paragraph(
            "Integrated backwards, the same flow estimates the camera pose of an image, and a "
            "short local search improves it to the pose whose generated image matches best. "
            f"The median rotation error is {flow.rotation_deg_median:.2f}°, and "
            f"{flow.under_5deg:.0%} of the views are below 5°. Refinement by gradient descent "
            "on the difference between the image and the rendered scene reduces it to "
            f"{refined.rotation_deg_median:.2f}°."
        ),
        camera_view(
            _camera_sets(outcome),
            point_cloud(outcome.fitted),
            "The cameras of the test images around the fitted scene. A line joins each "
            "recovered camera to the true one.",
        ),
        # The refined poses come first, so that both series keep the colors of the camera view.
        pose_errors(
            {"refined": refined, "flow": flow},
            {"refined": outcome.refined, "flow": outcome.estimate},
        ),
    )


def _figure_section(outcome: Outcome, figures: dict[str, Any]) -> Fragment:
    details = flattened(outcome.details)
    rows = _rows(flattened(figures))
    more = [collapsible("Further metrics", figure_table(_rows(details)))]
    return section(
        "Metrics",
        paragraph("The contents of summary.json."),
        figure_table(rows),
        *(more if details else []),
    )


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, Cell, str]]:
    return [(key, _cell(value), MEANING.get(key, "")) for key, value in figures.items()]


def _cell(value: object) -> Cell:
    """Numbers and undefined metrics as they are, and anything else as text."""
    return value if value is None or isinstance(value, int | float) else str(value)

"""The whole loop in one command: images → scene → views → flow → images and poses → report."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unrender.api.cameras import turntable
from unrender.api.fit import fit_to
from unrender.api.pose import refine
from unrender.api.run import Run
from unrender.app.commands.demo import DemoOptions
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import NamedCameras, write_cameras
from unrender.data.formats.npz import save_npz
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.make_views import make_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lookup import nearest_view_renderer
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import ImageEvaluation, evaluate_images, render_in_parts
from unrender.files import check_new, make_folder, write_json
from unrender.geometry.bounds import camera_statistics
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly, spherical_shell
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.kernels.runtime.process import keep_freed_memory, peak_memory_mb
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.sit import SiTFlow
from unrender.rendering.renderer import supersampled
from unrender.report.demo import Outcome, write_report
from unrender.report.pictures import write_picture
from unrender.studies.reconstruction import sampled
from unrender.training.fit import FitOptions
from unrender.training.method import Method
from unrender.training.record import provenance

FLOW_SIZE = 32
"""Pixels a side of the flow's images."""
SUPERSAMPLE = 3
"""Rays a side of each pixel of the flow's training images."""
PICTURE_VIEWS = 6
VIDEO_FRAMES, FRAMES_PER_SECOND = 60, 20
SCENE: Method[Any, Any] = InstantNGP()
FLOW: Method[Any, Any] = SiTFlow()
"""What is fitted."""
PRESETS = {"scene": "instant-ngp-fast", "flow": "sit"}
"""The presets that these are, by the folders of their runs."""
REFINEMENT = RenderAndCompare()
SCENE_SHARE, FLOW_SHARE = 0.185, 0.5
"""Fractions of the demo's minutes; the rest is for rendering, refining and the report."""


def run_demo(options: DemoOptions, say: Callable[[str], None] = print) -> Path:
    """Run the loop; returns the path of report.html. Writes summary.json beside it."""
    began = time.perf_counter()
    keep_freed_memory()
    if not (math.isfinite(options.minutes) and options.minutes > 0):
        raise InputError(f"--minutes {options.minutes}: give a positive number")
    if options.views < 20:
        raise InputError(f"--views {options.views}: the flow needs at least 20 views")
    if options.out is not None:
        check_new(options.out)
    scene = load_dataset(options.data)
    out = _new_folder(options.out, scene.name)
    say(f"Scene {scene.name}: {len(scene.train)} training views, {len(scene.test)} test views")

    scene_run = _fitted(SCENE, scene, out / "scene", options, SCENE_SHARE)
    fitted = evaluate_images(scene_run.renderer, scene.test)
    say(f"Fitted: {fitted.scores.mean_psnr:.2f} dB on the test views")

    views = _render_training_views(scene_run, scene, options, say)
    save_npz(out / "views.npz", views)
    # As they are in the file, so that the run can be resumed with it.
    rendered = load_dataset(out / "views.npz", LoadOptions(hold_out=0))
    flow_run = _fitted(FLOW, rendered, out / "flow", options, FLOW_SHARE)
    outcome = _evaluate(scene_run, flow_run, scene, views, fitted, options, say)
    figures = _summary(outcome, scene, scene_run.seconds, flow_run.seconds, len(views))
    _write_videos(scene_run, flow_run, out)
    _write_cameras(outcome, scene.test, out)
    figures["total_seconds"] = round(time.perf_counter() - began, 2)
    figures["peak_memory_mb"] = peak_memory_mb()
    write_json(out / "summary.json", figures)
    write_json(out / "details.json", {**outcome.details, **provenance(), "seed": options.seed})
    _write_picture(scene_run, outcome, out / "loop.png")
    report = out / "report.html"
    write_report(report, outcome, figures, out)
    say(json.dumps(figures, indent=1))
    return report


def _new_folder(wanted: Path | None, name: str) -> Path:
    """Make the folder that was asked for, or the first free one of the default names."""
    out, count = wanted or Path("runs") / f"demo-{name}", 1
    while wanted is None and out.exists():
        count += 1
        out = Path("runs") / f"demo-{name}-{count}"
    make_folder(out)
    return out


def _fitted(
    method: Method[Any, Any], dataset: Dataset, out: Path, options: DemoOptions, share: float
) -> Run:
    """Fit a preset within its share of the time.

    Ctrl-C ends the demo; the run folders that it made stay, and are complete.
    """
    budget = FitOptions(
        minutes=share * options.minutes, seed=options.seed, device=options.device
    )
    run = fit_to(method, dataset, budget, preset=PRESETS[out.name], out=out)
    if not run.finished:
        raise KeyboardInterrupt
    return run


def _render_training_views(
    scene_run: Run, scene: Dataset, options: DemoOptions, say: Callable[[str], None]
) -> Views:
    """Views like the scene's training views: as far away, as high, with the same lens."""
    radius, elevation = camera_statistics(scene.train.cameras)
    generator = torch.Generator().manual_seed(options.seed)
    poses = spherical_shell(options.views, radius, generator, elevation)
    intrinsics = scene.train.cameras.intrinsics[:1].expand(len(poses), 3, 3)
    cameras = Cameras(poses, intrinsics, scene.train.cameras.width, scene.train.cameras.height)
    say(f"Rendering {options.views} views of {FLOW_SIZE}×{FLOW_SIZE} for the flow")
    return make_views(scene_run.renderer, cameras.resized(FLOW_SIZE, FLOW_SIZE), SUPERSAMPLE)


def _evaluate(
    scene_run: Run,
    flow_run: Run,
    scene: Dataset,
    views: Views,
    fitted: ImageEvaluation,
    options: DemoOptions,
    say: Callable[[str], None],
) -> Outcome:
    """All figures, on test views that neither the scene nor the flow has seen."""
    small = scene.test.resized(FLOW_SIZE, FLOW_SIZE)
    ceiling = evaluate_images(supersampled(scene_run.renderer, SUPERSAMPLE), small)
    mean_start = evaluate_images(flow_run.renderer, small)
    sampled_start = evaluate_images(sampled(flow_run, options.seed), small)
    say(f"Flow: {mean_start.scores.mean_psnr:.2f} dB from the mean start")
    nearest = evaluate_images(nearest_view_renderer(views), small)
    began = time.perf_counter()
    estimate = flow_run.fitted.estimate_poses(scene.test.rgba)
    flow_seconds = time.perf_counter() - began
    flow_scores = score_poses(estimate.cameras, scene.test.cameras)
    began = time.perf_counter()
    refined = refine(scene_run, scene.test.opaque, estimate, scene.test.background, REFINEMENT)
    refine_seconds = time.perf_counter() - began
    refined_scores = score_poses(refined.cameras, scene.test.cameras)
    return Outcome(
        scene=scene,
        fitted=fitted,
        ceiling=ceiling,
        mean_start=mean_start,
        sampled_start=sampled_start,
        estimate=estimate,
        flow_scores=flow_scores,
        refined=refined,
        refined_scores=refined_scores,
        details={
            "nearest_view_psnr": nearest.scores.mean_psnr,
            "inversion_20_steps_rotation_deg_median": _median_with(20, flow_run, scene.test),
            "pose_seconds_per_view": flow_seconds / len(small),
            "refine_seconds_per_view": refine_seconds / len(small),
        },
    )


def _median_with(steps: int, flow_run: Run, test: Views) -> float:
    """Median rotation error in degrees of the flow run backwards in that many steps, alone."""
    flow = flow_run.with_options(inversion_steps=steps, refine_steps=0)
    found = flow.fitted.estimate_poses(test.rgba)
    return score_poses(found.cameras, test.cameras).rotation_deg_median


def _summary(
    outcome: Outcome, scene: Dataset, fit_seconds: float, flow_seconds: float, num_views: int
) -> dict[str, Any]:
    """summary.json, but for the totals."""
    pose = outcome.flow_scores.to_json()
    refined = outcome.refined_scores.to_json()
    return {
        "scene": {
            "name": scene.name,
            "train_views": len(scene.train),
            "test_views": len(scene.test),
        },
        "fit": {
            "method": "instant-ngp-fast",
            "psnr": outcome.fitted.scores.mean_psnr,
            "ssim": outcome.fitted.scores.mean_ssim,
            "seconds": round(fit_seconds, 2),
        },
        "flow": {
            "psnr_mean_start": outcome.mean_start.scores.mean_psnr,
            "psnr_sampled_start": outcome.sampled_start.scores.mean_psnr,
            "ceiling_psnr": outcome.ceiling.scores.mean_psnr,
            "seconds": round(flow_seconds, 2),
            "train_views": num_views,
        },
        "pose": {
            "rotation_deg_median": pose["rotation_deg_median"],
            "rotation_deg_mean": pose["rotation_deg_mean"],
            "translation_percent_median": pose["translation_percent_median"],
            "under_5deg": pose["under_5deg"],
            "refined_rotation_deg_median": refined["rotation_deg_median"],
            "num_views": len(scene.test),
        },
    }


def _write_videos(scene_run: Run, flow_run: Run, out: Path) -> None:
    """A turn around the object by each of the two renderers."""
    low, high = scene_run.view_ranges["elevation_deg"]
    elevation = min(max(30.0, low), high)
    radius = sum(scene_run.view_ranges["radius"]) / 2
    for name, run in (("scene", scene_run), ("flow", flow_run)):
        path = turntable(VIDEO_FRAMES, elevation=elevation, radius=radius)
        run.render(path, progress=False).save(out / f"{name}.mp4", fps=FRAMES_PER_SECOND)


def _write_cameras(outcome: Outcome, test: Views, out: Path) -> None:
    names = test.names or tuple(f"test view {index}" for index in range(len(test)))
    found = (("cameras_flow", outcome.estimate), ("cameras_refined", outcome.refined))
    for name, estimate in found:
        write_cameras(out / f"{name}.json", NamedCameras(estimate.cameras, names), estimate)


def _write_picture(scene_run: Run, outcome: Outcome, path: Path) -> None:
    """Photographs and what became of them, in both directions."""
    chosen = torch.tensor(evenly(PICTURE_VIEWS, len(outcome.scene.test)))
    cameras = outcome.refined.cameras.select(chosen)
    again = render_in_parts(scene_run.renderer, cameras)
    write_picture(
        path,
        [
            ("held-out\nimage", [outcome.fitted.truth[k] for k in chosen]),
            ("pose → image\nfitted scene", [outcome.fitted.rendered[k] for k in chosen]),
            ("pose → image\nflow, 32×32", [outcome.mean_start.rendered[k] for k in chosen]),
            ("image → pose\n→ image", again.over(torch.ones(3)).clamp(0, 1)),
        ],
    )

"""The whole loop in one command: images → scene → views → flow → images and poses → report."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unrender.api.cameras import film, turntable
from unrender.api.fit import fit_to
from unrender.api.pose import refine
from unrender.api.run import Run
from unrender.app.commands.demo import DemoOptions
from unrender.app.demo_notes import notes_of
from unrender.app.demo_plan import (
    FLOW_SIZE,
    affordable,
    has_one_square_lens,
    prepared,
    squares_of,
)
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import NamedCameras, write_cameras
from unrender.data.formats.npz import save_npz
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.make_views import make_views
from unrender.data.squares import square_focal
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lookup import nearest_view_renderer
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import (
    WHITE,
    ImageEvaluation,
    evaluate_images,
    render_in_parts,
)
from unrender.files import check_new, check_new_folder, make_folder, write_json
from unrender.files.temporaries import remove_abandoned
from unrender.geometry.bounds import camera_statistics, scene_center
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import coverage
from unrender.geometry.paths import between, evenly, spherical_shell
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.kernels.runtime.process import keep_freed_memory, peak_memory_mb
from unrender.methods.presets import find_preset
from unrender.methods.sit import SiTFlow
from unrender.rendering.renderer import supersampled
from unrender.report.demo import Outcome, write_report
from unrender.report.pictures import write_picture
from unrender.studies.reconstruction import sampled
from unrender.training.fit import FitOptions
from unrender.training.method import Method
from unrender.training.progress import told_progress
from unrender.training.record import provenance

SUPERSAMPLE = 3
"""Rays a side of each pixel of the flow's training images."""
FEWEST_VIEWS = 500
"""Views that are rendered for the flow at least, however slow that is."""
PICTURE_VIEWS = 6
VIDEO_FRAMES, FRAMES_PER_SECOND = 60, 20
SCENE: Method[Any, Any] | None = None
"""What is fitted to the photographs; None for the method that suits them."""
FLOW: Method[Any, Any] = SiTFlow()
VIEWS_SHARE, VIDEO_SHARE = 0.2, 0.06
"""Fractions of the demo's minutes that rendering the flow's views and a film may take."""
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
        check_new_folder(options.out)
    scene, preset, reason = prepared(load_dataset(options.data))
    out = _new_folder(options.out, scene.name)
    say(f"Scene {scene.name}: {len(scene.train)} training views, {len(scene.test)} test views")
    say(f"Method: {preset}, {reason}")

    method = SCENE or find_preset(preset).method()
    scene_run = _fitted(method, scene, out / "scene", options, SCENE_SHARE, preset, reason)
    scene = affordable(scene_run, scene, options.minutes, REFINEMENT)
    fitted = evaluate_images(scene_run.renderer, scene.test)
    say(f"Fitted: {fitted.scores.mean_psnr:.2f} dB on the test views")

    views, supersample = _render_training_views(scene_run, scene, options, say)
    save_npz(out / "views.npz", views)
    # As they are in the file, so that the run can be resumed with it.
    rendered = load_dataset(out / "views.npz", LoadOptions(hold_out=0))
    flow_run = _fitted(FLOW, rendered, out / "flow", options, FLOW_SHARE, "sit")
    outcome = _evaluate(scene_run, flow_run, scene, views, fitted, options, say)
    lower = options.views > len(views) or supersample < SUPERSAMPLE
    outcome = dataclasses.replace(outcome, notes=notes_of(outcome, scene_run, lower))
    for line in outcome.notes:
        say(f"note: {line}")
    figures = _summary(outcome, scene_run, flow_run.seconds, len(views))
    _write_videos(scene_run, flow_run, fitted.seconds / len(scene.test), options, out)
    _write_cameras(outcome, scene.test, out)
    figures["total_seconds"] = round(time.perf_counter() - began, 2)
    figures["peak_memory_mb"] = peak_memory_mb()
    write_json(out / "summary.json", figures)
    details = {**outcome.details, "notes": outcome.notes, **provenance(), "seed": options.seed}
    write_json(out / "details.json", details)
    _write_picture(scene_run, outcome, out / "loop.png")
    report = out / "report.html"
    write_report(report, outcome, figures, out)
    say(json.dumps(figures, indent=1))
    return report


def _new_folder(wanted: Path | None, name: str) -> Path:
    """Make the folder that was asked for, or the first free one of the default names."""
    out, count = wanted or Path("runs") / f"demo-{name}", 1
    while wanted is None and out.exists():
        for folder in (out, *out.glob("*/"), *out.glob("*/checkpoints/")):
            remove_abandoned(folder)
        count += 1
        out = Path("runs") / f"demo-{name}-{count}"
    make_folder(out)
    return out


def _fitted(
    method: Method[Any, Any],
    dataset: Dataset,
    out: Path,
    options: DemoOptions,
    share: float,
    preset: str,
    reason: str | None = None,
) -> Run:
    """Fit a preset within its share of the time.

    Ctrl-C ends the demo; the run folders that it made stay, and are complete.
    """
    budget = FitOptions(
        minutes=share * options.minutes, seed=options.seed, device=options.device
    )
    run = fit_to(method, dataset, budget, preset=preset, reason=reason, out=out)
    if not run.finished:
        raise KeyboardInterrupt
    return run


def _render_training_views(
    scene_run: Run, scene: Dataset, options: DemoOptions, say: Callable[[str], None]
) -> tuple[Views, int]:
    """Views like the scene's training views, and the rays a side of each of their pixels.

    Of an object at the origin they are as far away, as high, and with the same lens; of a
    capture they are between its photographs, with the lens of most of them. Where rendering
    takes long, they have fewer rays, and then they are fewer.
    """
    known = scene.train.cameras
    generator = torch.Generator().manual_seed(options.seed)
    if coverage(known).on_sphere:
        radius, elevation = camera_statistics(known)
        poses = spherical_shell(options.views, radius, generator, elevation)
    else:
        poses = between(known, options.views, generator)
    if has_one_square_lens(scene):
        intrinsics = known.intrinsics[:1].expand(len(poses), 3, 3)
        cameras = Cameras(poses, intrinsics, *known.sizes.one).resized(FLOW_SIZE, FLOW_SIZE)
    else:
        focal = FLOW_SIZE * square_focal(scene.train)
        cameras = Cameras.from_focal(poses, focal, FLOW_SIZE, FLOW_SIZE)
    seconds = 60 * VIEWS_SHARE * options.minutes
    count, supersample = options.views, SUPERSAMPLE
    for supersample in range(SUPERSAMPLE, 0, -1):
        some = cameras.select(slice(0, 2))
        make_views(scene_run.renderer, some, supersample)  # Compiles what is not yet compiled.
        began = time.perf_counter()
        make_views(scene_run.renderer, some, supersample)
        count = int(seconds / ((time.perf_counter() - began) / 2))
        if count >= options.views:
            break
    count = min(options.views, max(FEWEST_VIEWS, count))
    say(
        f"Rendering {count} views of {FLOW_SIZE}×{FLOW_SIZE} for the flow, with "
        f"{supersample**2} rays a pixel"
    )
    cameras = cameras.select(slice(0, count))
    with told_progress("render views", "view", True) as tell:
        views = make_views(scene_run.renderer, cameras, supersample, tell, scene_run.behind)
    return views, supersample


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
    known = scene.train.cameras
    plain = has_one_square_lens(scene)
    small, large = squares_of(scene, scene.test, FLOW_SIZE), squares_of(scene, scene.test)
    center = scene_center(known)
    ceiling = evaluate_images(supersampled(scene_run.renderer, SUPERSAMPLE), small)
    seen = small if plain else _with_cameras(small, flow_run)
    mean_start = evaluate_images(flow_run.renderer, seen)
    sampled_start = evaluate_images(sampled(flow_run, options.seed), seen)
    say(f"Flow: {mean_start.scores.mean_psnr:.2f} dB from the mean start")
    nearest = evaluate_images(nearest_view_renderer(views), small)
    began = time.perf_counter()
    estimate = flow_run.fitted.estimate_poses(large.opaque)
    flow_seconds = time.perf_counter() - began
    flow_scores = score_poses(estimate.cameras, large.cameras, center)
    began = time.perf_counter()
    if not plain:  # Each photograph has its own lens.
        start = large.cameras.with_poses(estimate.cameras.world_from_camera)
        estimate = dataclasses.replace(estimate, cameras=start)
    refined = refine(scene_run, large.opaque, estimate, large.background, REFINEMENT)
    refine_seconds = time.perf_counter() - began
    refined_scores = score_poses(refined.cameras, large.cameras, center)
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
        flow_views=len(views),
        method=f"{scene_run.preset}, {scene_run.reason}",
        details={
            "nearest_view_psnr": nearest.scores.mean_psnr,
            "inversion_20_steps_rotation_deg_median": _median_with(20, flow_run, large),
            "pose_seconds_per_view": flow_seconds / len(small),
            "refine_seconds_per_view": refine_seconds / len(small),
        },
    )


def _median_with(steps: int, flow_run: Run, test: Views) -> float:
    """Median rotation error in degrees of the flow run backwards in that many steps, alone."""
    flow = flow_run.with_options(inversion_steps=steps, refine_steps=0)
    found = flow.fitted.estimate_poses(test.opaque)
    return score_poses(found.cameras, test.cameras).rotation_deg_median


def _with_cameras(small: Views, flow_run: Run) -> Views:
    """The views with the lens that the flow has, from which theirs hardly differ."""
    lens = flow_run.training_like(small.cameras.world_from_camera)
    return dataclasses.replace(small, cameras=lens)


def _summary(
    outcome: Outcome, scene_run: Run, flow_seconds: float, num_views: int
) -> dict[str, Any]:
    """summary.json, but for the totals."""
    scene = outcome.scene
    pose = outcome.flow_scores.to_json()
    refined = outcome.refined_scores.to_json()
    return {
        "scene": {
            "name": scene.name,
            "train_views": len(scene.train),
            "test_views": len(scene.test),
        },
        "fit": {
            "method": scene_run.preset,
            "psnr": outcome.fitted.scores.mean_psnr,
            "ssim": outcome.fitted.scores.mean_ssim,
            "seconds": round(scene_run.seconds, 2),
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


def _write_videos(
    scene_run: Run, flow_run: Run, frame_seconds: float, options: DemoOptions, out: Path
) -> None:
    """A film around the object by each of the two renderers.

    It is as large as the photographs, if rendering it fits the time.
    """
    if coverage(scene_run.cameras).on_sphere:
        low, high = scene_run.view_ranges["elevation_deg"]
        elevation = min(max(30.0, low), high)
        radius = sum(scene_run.view_ranges["radius"]) / 2
        path = turntable(VIDEO_FRAMES, elevation=elevation, radius=radius)
        cameras, small = path.cameras(scene_run), path.cameras(flow_run)
    else:
        cameras = film(VIDEO_FRAMES).cameras(scene_run)
        small = flow_run.training_like(cameras.world_from_camera)
    share = 60 * VIDEO_SHARE * options.minutes / max(VIDEO_FRAMES * frame_seconds, 1e-9)
    longest = max(cameras.width, cameras.height)
    size = longest if share >= 1 else max(96, round(longest * share**0.5))
    for name, run, path in (("scene", scene_run, cameras), ("flow", flow_run, small)):
        pixels = min(size, longest) if run is scene_run else None
        rendering = run.render(path, size=pixels, progress=run is scene_run)
        rendering.save(out / f"{name}.mp4", fps=FRAMES_PER_SECOND)


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
    behind = WHITE if outcome.scene.test.background is None else outcome.scene.test.background
    truth = [outcome.fitted.truth[k] for k in chosen]
    rendered = [outcome.fitted.rendered[k] for k in chosen]
    if not has_one_square_lens(outcome.scene):
        large = squares_of(outcome.scene, outcome.scene.test.select(chosen))
        made = render_in_parts(scene_run.renderer, large.cameras)
        truth, rendered = list(large.over(behind)), list(made.over(behind).clamp(0, 1))
    write_picture(
        path,
        [
            ("held-out\nimage", truth),
            ("pose → image\nfitted scene", rendered),
            ("pose → image\nflow, 32×32", [outcome.mean_start.rendered[k] for k in chosen]),
            ("image → pose\n→ image", again.over(behind).clamp(0, 1)),
        ],
    )

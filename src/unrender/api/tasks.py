"""What the commands do, as functions: each step of the loop, between run folders."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.api.opened_run import (
    OpenRun,
    begin_run,
    check_free,
    check_same,
    describe_cameras,
    fingerprint,
    fit_into,
    open_run,
)
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import NamedCameras, read_cameras
from unrender.data.load import DEFAULTS, LoadOptions, load_dataset
from unrender.data.validate import Background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.poses import PoseScores, score_poses
from unrender.evaluation.renders import evaluate_images
from unrender.files import write_json
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.imaging.files import read_rgba
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods import AnyMethod
from unrender.rendering.renderer import Images, PoseEstimate
from unrender.training.fit import FitOptions, FitResult, pick_device
from unrender.training.method import PoseMethod
from unrender.training.run import Run, provenance


def describe_views(views: Views) -> dict[str, object]:
    """What later commands need of the views a run was fitted to, without loading them."""
    background = None if views.background is None else views.background.tolist()
    known = fingerprint((views.cameras.world_from_camera, views.images))
    return {**describe_cameras(views.cameras, known), "background": background}


def fit_run(
    method: AnyMethod,
    source: str,
    out: Path,
    options: FitOptions,
    reading: LoadOptions = DEFAULTS,
    resume: bool = False,
    scene: Dataset | None = None,
    show: bool = True,
    watch: Callable[[nn.Module, float], None] | None = None,
) -> tuple[OpenRun, FitResult]:
    """Fit a method to the training views of `source` into the run folder `out`.

    `watch`: as for `fit`.
    """
    device = pick_device(options.device)
    check_free(out, resume)
    scene = scene or load_dataset(source, reading)
    data = {"source": source, **dataclasses.asdict(reading), "scene": scene.name}
    run = begin_run(method, out, options, data, describe_views(scene.train), resume)
    cameras = NamedCameras.of(scene.train) if method.any_size else None
    return fit_into(run, method, scene.train.to(device), cameras, options, resume, show, watch)


def fit_or_open(
    method: AnyMethod, source: str, out: Path, options: FitOptions, scene: Dataset
) -> OpenRun:
    """The finished run in `out`, or one fitted now; one that was broken off goes on.

    InputError if the run there has other options of the method, or was fitted to other views.
    Ctrl-C ends the fit with KeyboardInterrupt, once its checkpoint is written.
    """
    if out.exists() and Run.open(out).finished:
        check_same(Run.open(out), method, describe_views(scene.train))
        return open_run(out, pick_device(options.device))
    opened, result = fit_run(method, source, out, options, resume=out.exists(), scene=scene)
    if result.interrupted:
        raise KeyboardInterrupt
    return opened


def scene_of(opened: OpenRun, data: str | None, background: Background) -> Dataset:
    """The views `data`, or what the run was fitted to, read as they were for the fit."""
    known = opened.run.config["data"]
    reading = LoadOptions.from_json(known)
    if background != "auto":
        reading = replace(reading, background=background)
    return load_dataset(data or str(known["source"]), reading)


def training_cameras(
    opened: OpenRun, world_from_camera: Float[Tensor, "cameras 3 4"]
) -> Cameras:
    """Cameras with the intrinsics and size of the run's training views."""
    views = opened.cameras
    intrinsics = torch.tensor(views["intrinsics"]).expand(len(world_from_camera), 3, 3)
    return Cameras(world_from_camera, intrinsics, views["width"], views["height"])


def turntable_cameras(
    opened: OpenRun, frames: int, elevation_deg: float, radius: float | None
) -> Cameras:
    """A circle around the scene, at the training cameras' mean distance if none is given."""
    middle = sum(opened.cameras["radius"]) / 2
    path = turntable(frames, radius or middle, math.radians(elevation_deg))
    return training_cameras(opened, path)


def refine_on_scene(
    opened: OpenRun,
    images: Images,
    start: PoseEstimate,
    options: RenderAndCompare,
    background: Float[Tensor, "3"] | None,
) -> PoseEstimate:
    """Poses by render-and-compare on a fitted scene, from all modes of `start`."""
    _, height, width, _ = images.shape
    begin = dataclasses.replace(start, cameras=start.cameras.resized(width, height))
    return options.estimate_from_modes(opened.renderer, images, begin, background)


def starting_poses(
    start: Path | None,
    flow: Path | None,
    images: tuple[Path, ...],
    cut_out: Images,
    where: torch.device,
) -> PoseEstimate:
    """Where a refinement begins: cameras from a file, or what a flow finds."""
    if (start is None) == (flow is None):
        raise InputError(
            "pose: a scene refines cameras it is given: name either --start FILE or --flow RUN"
        )
    if flow is not None:
        return open_run(flow, where).estimate_poses(cut_out)
    assert start is not None
    cameras = read_cameras(start).cameras
    if len(cameras) != len(images):
        raise InputError(
            f"{start}: holds {len(cameras)} cameras for {len(images)} images: give one each"
        )
    unknown = torch.full((len(cameras),), math.nan)
    return PoseEstimate.isotropic(cameras, unknown, unknown)


def expectation(estimate: PoseEstimate, index: int) -> str:
    """How sure an estimate is, in words."""
    x, y, z = estimate.axis_errors[index].rad2deg().tolist()
    whole = math.degrees(float(estimate.rotation_error[index]))
    text = f"rotation expected within {whole:.2f}° (x {x:.2f}°, y {y:.2f}°, z {z:.2f}°)"
    shares = [] if estimate.modes is None else estimate.modes.share[index].tolist()
    likely = [f"{share:.0%}" for share in shares if share > 0]
    return text + (f", {len(likely)} modes: {', '.join(likely)}" if len(likely) > 1 else "")


def make_folder(path: Path) -> None:
    """A folder for results, with those above it; one that is there already stays as it is."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be made ({error.strerror}): choose another --out"
        ) from error


def read_images(paths: list[Path]) -> Images:
    """Photographs of one size, as premultiplied RGBA; opaque where a file has no alpha."""
    images = [read_rgba(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            size, first = ("×".join(map(str, i.shape[1::-1])) for i in (image, images[0]))
            raise InputError(
                f"{path}: is {size} pixels and {paths[0]} {first}: give images of one size"
            )
    return torch.stack(images)


def image_background(
    opened: OpenRun, images: Images, first: Path, wanted: Background
) -> Float[Tensor, "3"] | None:
    """The colour behind photographs without alpha; None where alpha tells."""
    if (images[..., 3] < 1).any() or wanted == "opaque":
        return None
    known = opened.cameras.get("background")
    if wanted == "auto" and known is None:
        raise InputError(
            f"{first}: has no alpha, and the run does not know its background: say "
            "--background white or black, or cut the object out"
        )
    if wanted == "auto":
        return torch.tensor(known)
    return torch.full((3,), 1.0 if wanted == "white" else 0.0)


def evaluate_run(
    opened: OpenRun, scene: Dataset, lpips: Path | None = None
) -> tuple[dict[str, Any], Path]:
    """Figures of a run on the scene's test views, and the report that shows them.

    Of images, where the method makes them, and of poses, where it finds them. Writes
    evaluation.json and report.html into the run folder. `lpips`: the file of its weights.
    """
    from unrender.report.run import write_run_report  # noqa: PLC0415 - matplotlib is slow

    size = opened.fixed_size
    views = scene.test if size is None else scene.test.resized(size, size)
    perceptual = None if lpips is None else LPIPS.read(lpips)
    images = None
    if opened.method.makes_images:
        images = evaluate_images(opened.renderer, views, perceptual)
    figures: dict[str, Any] = {
        "scene": scene.name,
        "num_views": len(views),
        "width": views.cameras.width,
        "height": views.cameras.height,
    }
    if images is not None:
        figures |= {
            "background": images.background,
            **images.scores.to_json(),
            "lpips_net": "weights not given" if perceptual is None else perceptual.net,
            "seconds_per_view": images.seconds / len(views),
            "model_mb": opened.megabytes,
        }
    poses: PoseScores | None = None
    estimate: PoseEstimate | None = None
    if isinstance(opened.method, PoseMethod):
        estimate = opened.estimate_poses(scene.test.rgba)
        poses = score_poses(estimate.cameras, views.cameras)
        figures["poses"] = poses.to_json()
    write_json(opened.run.path / "evaluation.json", {**figures, **provenance()})
    report = opened.run.path / "report.html"
    write_run_report(report, opened.run, views, images, estimate, poses)
    flat = {**figures, **{f"poses.{k}": v for k, v in figures.get("poses", {}).items()}}
    return flat, report

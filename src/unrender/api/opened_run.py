"""A run folder, opened: the model that was fitted, ready to be used; and how one is begun."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.data.make_views import camera_statistics
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.methods import AnyMethod, describe, from_description
from unrender.rendering.renderer import Images, PoseEstimate, Renderer, Rendering
from unrender.training.fit import FitOptions, FitResult, fit
from unrender.training.method import PoseMethod
from unrender.training.run import Run

CAMERAS = "cameras.json"
"""In a scene's run: the cameras of the views it was fitted to."""


@dataclass(frozen=True)
class OpenRun:
    """A fitted model, ready to render."""

    run: Run
    method: AnyMethod
    model: nn.Module

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def renderer(self) -> Renderer:
        """Renders on the model's device, and gives back on the cameras'."""

        def render(cameras: Cameras) -> Rendering:
            found = self.method.render(self.model, cameras.to(self.device))
            return found.to(cameras.device)

        return render

    @property
    def megabytes(self) -> float:
        """What a checkpoint of the model takes."""
        tensors = self.model.state_dict().values()
        return sum(t.numel() * t.element_size() for t in tensors) / 1e6

    def estimate_poses(self, images: Images) -> PoseEstimate:
        """Find the poses of images on the model's device, and give them back on the images'."""
        if not isinstance(self.method, PoseMethod):
            if not self.method.any_size:
                raise InputError(
                    f"{self.run.path}: makes images of poses but finds no poses: name the run "
                    "of a method that does, such as sit"
                )
            raise InputError(
                f"{self.run.path}: is a scene, which refines poses but does not find them: "
                "give starting cameras with --start, or a flow with --flow"
            )
        found: PoseEstimate = self.method.estimate_poses(self.model, images.to(self.device))
        return found.to(images.device)

    @property
    def cameras(self) -> dict[str, Any]:
        """What config.json says of the training cameras."""
        return self.run.config["views"]

    @property
    def fixed_size(self) -> int | None:
        """Pixels a side of a flow's images; None for scenes, which render any size."""
        return None if self.method.any_size else self.cameras["width"]


def describe_cameras(cameras: Cameras, fingerprint: str) -> dict[str, object]:
    """What later commands need of the cameras of a run's images, without loading these."""
    radius, elevation = camera_statistics(cameras)
    return {
        "count": len(cameras),
        "width": cameras.width,
        "height": cameras.height,
        "intrinsics": cameras.intrinsics[0].tolist(),
        "radius": list(radius),
        "elevation_deg": [math.degrees(angle) for angle in elevation],
        "fingerprint": fingerprint,
    }


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A hash of numbers, to tell one data set from another."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]


def begin_run(
    method: AnyMethod,
    out: Path,
    options: FitOptions,
    data: Mapping[str, object],
    views: Mapping[str, object],
    resume: bool,
) -> Run:
    """A new run folder, or with `resume` the one that is there. InputError if they differ."""
    if resume:
        run = Run.open(out)
        check_same(run, method, views)
        return run
    config = {
        "method": describe(method),
        "fit": dataclasses.asdict(options),
        "data": data,
        "views": views,
    }
    return Run.create(out, config)


def check_free(out: Path, resume: bool) -> None:
    """Refuse an --out that exists, before any work is done."""
    if out.exists() and not resume:
        raise InputError(
            f"{out}: exists already: choose another --out, continue it with --resume, "
            "or delete it"
        )


def fit_into(
    run: Run,
    method: AnyMethod,
    data: Any,
    cameras: NamedCameras | None,
    options: FitOptions,
    resume: bool,
    show: bool = True,
    watch: Callable[[Any, float], None] | None = None,
) -> tuple[OpenRun, FitResult]:
    """Fit to data that is on the device already; `cameras` are those of a scene's views."""
    try:
        if cameras is not None and not (run.path / CAMERAS).exists():
            write_cameras(run.path / CAMERAS, cameras)
        model, result = fit(method, data, options, run, resume, show, watch)
    except InputError:
        run.discard_if_unused()
        raise
    return OpenRun(run, method, model), result


def check_same(run: Run, method: AnyMethod, views: Mapping[str, object]) -> None:
    """A run goes on with the method and the views it began with."""
    config = run.config
    before, now = config.get("method"), describe(method)
    if before != now:
        raise InputError(
            f"{run.path}/config.json: was fitted with other options of the method: give the "
            "same ones to --resume, or another --out"
        )
    if config.get("views", {}).get("fingerprint") != views["fingerprint"]:
        raise InputError(
            f"{run.path}/config.json: was fitted to other views: give the same --data to "
            "--resume, or another --out"
        )


def open_run(path: Path, device: torch.device | None = None) -> OpenRun:
    """The newest checkpoint of a run, ready to render."""
    run = Run.open(path)
    source = f"{path}/config.json"
    config = run.config
    method = from_description(config.get("method"), source)
    _check_view_description(config.get("views"), source)
    checkpoint = run.load()
    broken = [
        n
        for n, t in checkpoint.model.items()
        if t.is_floating_point() and not t.isfinite().all()
    ]
    if broken:
        raise InputError(
            f"{run.checkpoints()[-1]}/model.safetensors: {broken[0]} holds what is no number: "
            "fit again, with a lower --rate"
        )
    try:
        model = method.restore(checkpoint.model)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{run.checkpoints()[-1]}/model.safetensors: does not hold a model of method "
            f"{config['method']['name']!r} with these options: fit again"
        ) from error
    return OpenRun(run, method, model.to(device or torch.device("cpu")))


def _check_view_description(views: object, source: str) -> None:
    wanted = {"width": int, "height": int, "intrinsics": list, "radius": list}
    if not isinstance(views, dict) or any(
        not isinstance(views.get(key), kind) for key, kind in wanted.items()
    ):
        raise InputError(f"{source}: does not describe the views it was fitted to: fit again")


def fitted_cameras(opened: OpenRun) -> NamedCameras:
    """The cameras of the views that a scene's run was fitted to. InputError."""
    path = opened.run.path / CAMERAS
    if not path.exists():
        raise InputError(f"{path}: not found: fit again with --resume, which writes it")
    return read_cameras(path)

"""The command that renders films and images of a run."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import torch
import tyro
from tqdm import tqdm

from unrender.data.camera_files import read_cameras
from unrender.errors import InputError
from unrender.evaluation.renders import render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import orbit, spiral
from unrender.imaging.files import write_image, write_video
from unrender.rendering.channels import CHANNELS, as_images
from unrender.rendering.rendering import supersampled
from unrender.tasks import (
    OpenRun,
    fitted_cameras,
    make_folder,
    open_run,
    scene_of,
    turntable_cameras,
)
from unrender.training.fit import Device, pick_device

FILMS = (".mp4", ".gif")


def render(
    run: Annotated[Path, tyro.conf.Positional],
    out: Path,
    cameras: str = "turntable",
    what: str = "color",
    frames: int = 60,
    fps: int = 24,
    size: int | None = None,
    elevation: float = 30.0,
    radius: float | None = None,
    supersample: int = 1,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    device: Device = "auto",
) -> None:
    """Render a film or images of a run: of a fitted scene, or of a flow.

    Args:
        run: The run folder.
        out: An .mp4 or .gif, in which several channels stand side by side, or a folder for one
            .png for each frame and channel.
        cameras: turntable, about what the training cameras look at; spiral, about the middle of
            the training cameras; test, the held-out views; or a file of cameras such as
            `unrender pose` writes.
        what: color, depth, normals, opacity: one or more, with commas between them.
        frames: Frames of the turntable or spiral.
        fps: Frames a second.
        size: Pixels of the longer side; by default as the training images. A flow has its own.
        elevation: Degrees above the horizon, for the turntable.
        radius: Distance from there, for the turntable; by default the training cameras'.
        supersample: Rays a side of each pixel.
        background: RGB in [0, 1].
        device: Where to compute.
    """
    film = out.suffix in FILMS
    if film or out.suffix:
        check_output(out, FILMS)
    channels = tuple(what.split(","))
    for channel in channels:
        if channel not in CHANNELS:
            raise InputError(f"--what {channel!r}: choose of {', '.join(CHANNELS)}")
    if frames < 1 or fps < 1:
        raise InputError(f"--frames {frames} --fps {fps}: give at least 1 of each")
    if radius is not None and not 0 < radius < math.inf:
        raise InputError(f"--radius {radius}: give a positive length")
    if not all(0 <= value <= 1 for value in background):
        raise InputError(f"--background {background}: give three numbers from 0 to 1")
    opened = open_run(run, pick_device(device))
    path = _path(opened, cameras, frames, elevation, radius)
    path = _resized(path, size, opened.fixed_size)
    renderer = supersampled(opened.renderer, 1 if opened.fixed_size else supersample)
    with tqdm(total=len(path), unit="frame") as bar:
        rendering = render_in_parts(renderer, path, on_bar(bar))
    behind = torch.tensor(background)
    images = {name: as_images(rendering.to("cpu"), path, name, behind) for name in channels}
    if film:
        write_video(out, torch.cat(list(images.values()), dim=2), fps)
    else:
        make_folder(out)
        for name, values in images.items():
            for k, image in enumerate(values):
                write_image(out / f"{name}_{k:04d}.png", image)
    print(out)


def _path(
    opened: OpenRun, cameras: str, frames: int, elevation: float, radius: float | None
) -> Cameras:
    """The cameras by name, or of a file."""
    if cameras == "turntable" and opened.fixed_size is None:
        known = fitted_cameras(opened).cameras
        return orbit(known, frames, math.radians(elevation), radius)
    if cameras == "turntable":
        return turntable_cameras(opened, frames, elevation, radius)
    if cameras not in ("spiral", "test"):
        return read_cameras(Path(cameras)).cameras
    if cameras == "spiral":
        return spiral(fitted_cameras(opened).cameras, frames)
    return scene_of(opened, None, "auto").test.cameras


def on_bar(bar: "tqdm[NoReturn]") -> Callable[[int, int], None]:
    """What a renderer tells of its progress, on a bar."""

    def show(done: int, _total: int) -> None:
        bar.update(done - bar.n)

    return show


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse a file that could not be written before the work is done, not after."""
    if path.suffix not in endings:
        raise InputError(
            f"{path}: has another ending than {' or '.join(endings)}: change --out"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path}: cannot be written, since {path.parent} is no writable folder: make it, "
            "or choose another --out"
        )


def _resized(cameras: Cameras, size: int | None, fixed: int | None) -> Cameras:
    if fixed is not None:
        if size not in (None, fixed):
            raise InputError(f"--size {size}: this flow makes images of {fixed}×{fixed}")
        return cameras.resized(fixed, fixed)
    if size is None:
        return cameras
    if not 1 <= size <= 8192:
        raise InputError(f"--size {size}: give 1 to 8192 pixels")
    scale = size / max(cameras.width, cameras.height)
    width, height = (max(1, round(scale * n)) for n in (cameras.width, cameras.height))
    return cameras.resized(width, height)

"""The command that renders films and images of a run."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import torch
import tyro
from tqdm import tqdm

from unrender.api.opened_run import OpenRun, fitted_cameras, open_run
from unrender.api.tasks import make_folder, scene_of, turntable_cameras
from unrender.data.formats.camera_files import read_cameras
from unrender.errors import InputError
from unrender.evaluation.renders import render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import orbit, spiral
from unrender.imaging.files import write_image, write_video
from unrender.rendering.channels import CHANNELS, as_images
from unrender.rendering.renderer import Renderer, supersampled
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.files.shape import Up, load_shape
from unrender.shapes.shape import Shape
from unrender.training.fit import Device, pick_device

FILMS = (".mp4", ".gif")


def render(
    source: Annotated[Path, tyro.conf.Positional],
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
    up: Up = "auto",
    device: Device = "auto",
) -> None:
    """Render a film or images of a fitted scene, of a flow, or of a shape's file.

    Args:
        source: A run folder, or a mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply,
            .xyz, .npz) or voxels (.binvox, .npz).
        out: An .mp4 or .gif, in which several channels stand side by side, or a folder for one
            .png for each frame and channel.
        cameras: turntable, about what the training cameras look at, or about the shape; spiral,
            about the middle of the training cameras; test, the held-out views; or a file of
            cameras such as `unrender pose` writes.
        what: color, depth, normals, opacity: one or more, with commas between them.
        frames: Frames of the turntable or spiral.
        fps: Frames a second.
        size: Pixels of the longer side; by default as the training images, and 256 for a
            shape. A flow has its own.
        elevation: Degrees above the horizon, for the turntable.
        radius: Distance from there, for the turntable; by default the training cameras', or
            that from which all of a shape is seen.
        supersample: Rays a side of each pixel.
        background: RGB in [0, 1].
        up: Which axis of a mesh' file points up; auto takes y for .obj, .glb and .gltf, else z.
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
    renderer: Renderer
    if source.is_file():
        shape = load_shape(source, up).to(pick_device(device))
        renderer, fixed = shape_renderer(shape), None
        path = _path_around(shape, cameras, frames, elevation, radius)
    else:
        opened = _open(source, device)
        renderer, fixed = opened.renderer, opened.fixed_size
        path = _path(opened, cameras, frames, elevation, radius)
    path = _resized(path, size, fixed)
    renderer = supersampled(renderer, 1 if fixed else supersample)
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


def _open(path: Path, device: Device) -> OpenRun:
    opened = open_run(path, pick_device(device))
    if not opened.method.makes_images:
        raise InputError(f"{path}: makes no images: render what it predicts")
    return opened


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


def _path_around(
    shape: Shape, cameras: str, frames: int, elevation: float, radius: float | None
) -> Cameras:
    """The turntable, or the cameras of a file."""
    if cameras in ("spiral", "test"):
        raise InputError(
            f"--cameras {cameras}: a shape was fitted to no views: give turntable or a file"
        )
    if cameras != "turntable":
        return read_cameras(Path(cameras)).cameras
    return cameras_around(shape, frames, elevation=math.radians(elevation), radius=radius)


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

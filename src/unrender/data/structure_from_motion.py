"""From photographs or a film to a COLMAP model, by pycolmap (extra `sfm`).

Schönberger and Frahm, "Structure-from-Motion Revisited" (2016), https://colmap.github.io.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch

from unrender.data.photographs import list_photographs
from unrender.errors import InputError
from unrender.files import folder_in_place
from unrender.imaging.files import image_header, read_image, write_image
from unrender.imaging.resize import area_average

FILMS = (".mp4", ".mov", ".avi", ".mkv", ".webm")
THUMBNAIL = 320
"""Pixels of a frame's longer side where its sharpness is measured."""
EXHAUSTIVE = 120
"""More photographs than this are matched each with those that follow it."""
FEWEST = 3
ENOUGH = 0.5
"""Share of the photographs that must find their place."""

Frame = np.ndarray[Any, np.dtype[np.uint8]]
Stage = Callable[[str, int, int], None]
"""What is being done, how far it is, and how much there is."""


@dataclass(frozen=True)
class Reconstructed:
    """How a reconstruction ended."""

    photographs: int
    registered: int
    points: int
    reprojection: float
    """Mean error in pixels."""


def process(source: Path, out: Path, frames: int, size: int, stage: Stage) -> Reconstructed:
    """Make a scene's folder, images/ and sparse/0/, of a folder of photographs or a film.

    Of a film, `frames` frames are taken; images larger than `size` pixels are made smaller.
    The folder appears whole or not at all. InputError without pycolmap, and where too few
    photographs find their place.
    """
    if importlib.util.find_spec("pycolmap") is None:
        raise InputError("process: pycolmap is not installed: pip install 'unrender[sfm]'")
    if out.exists():
        raise InputError(f"{out}: exists already: choose another --out, or delete it")
    with folder_in_place(out) as folder:
        (folder / "images").mkdir()
        film = source.is_file()
        count = (
            _from_film(source, folder / "images", frames, size, stage)
            if film
            else _from_folder(source, folder / "images", size, stage)
        )
        if count < FEWEST:
            raise InputError(f"{source}: has {count} images: give at least {FEWEST}")
        return _reconstruct(source, folder, count, film, stage)


def _from_folder(source: Path, target: Path, size: int, stage: Stage) -> int:
    if not source.is_dir():
        raise InputError(f"{source}: no such folder or film: check the path")
    paths = list_photographs(source)
    for k, path in enumerate(paths):
        image = read_image(path)[..., :3]
        height, width = image.shape[:2]
        scale = size / max(height, width)
        if scale < 1:
            smaller = max(1, round(width * scale)), max(1, round(height * scale))
            image = area_average(image[None], *smaller)[0]
        write_image(target / f"{path.stem}.png", image)
        stage("photographs", k + 1, len(paths))
    return len(paths)


def _from_film(source: Path, target: Path, frames: int, size: int, stage: Stage) -> int:
    """The sharpest frame of each of as many equal stretches of the film."""
    if source.suffix.lower() not in FILMS:
        raise InputError(f"{source}: is no film ({', '.join(FILMS)}) and no folder")
    if frames < FEWEST:
        raise InputError(f"--frames {frames}: give at least {FEWEST}")
    sharpness = [_sharpness(frame) for frame in _read_film(source, THUMBNAIL)]
    total = len(sharpness)
    edges = np.linspace(0, total, min(frames, total) + 1).round().astype(int)
    chosen = {int(a + np.argmax(sharpness[a:b])) for a, b in pairwise(edges)}
    count = 0
    for k, frame in enumerate(_read_film(source, size)):
        if k in chosen:
            image = torch.from_numpy(frame.astype(np.float32) / 255)
            write_image(target / f"frame_{k:06d}.png", image)
            count += 1
            stage("frames", count, len(chosen))
    return count


def _read_film(source: Path, size: int) -> Iterator[Frame]:
    """The frames [height, width, 3] in bytes, the longer side at most `size`."""
    scale = f"scale='min({size},iw)':'min({size},ih)':force_original_aspect_ratio=decrease"
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(source), "-vf", scale),
        # Each frame says its own size: P6, width and height, 255, then its bytes.
        *("-f", "image2pipe", "-vcodec", "ppm", "-"),
    ]
    found = False
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as reader:
        assert reader.stdout is not None
        while reader.stdout.readline() == b"P6\n":
            width, height = (int(word) for word in reader.stdout.readline().split())
            reader.stdout.readline()
            raw = reader.stdout.read(3 * width * height)
            yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)
            found = True
    if not found:
        raise InputError(f"{source}: cannot be read as a film: make it again")


def _sharpness(frame: Frame) -> float:
    """The variance of the Laplacian: motion blur lowers it."""
    grey = frame.astype(np.float32).mean(2)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def _reconstruct(
    source: Path, folder: Path, count: int, film: bool, stage: Stage
) -> Reconstructed:
    import pycolmap  # noqa: PLC0415 - an extra

    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value
    database, images = folder / "database.db", folder / "images"
    sizes: dict[tuple[int, int], list[str]] = {}
    for path in sorted(images.iterdir()):
        width, height, _ = image_header(path)
        sizes.setdefault((width, height), []).append(path.name)
    stage("features", 0, count)
    done = 0
    for names in sizes.values():
        # One lens for all photographs of a size: those upright, and those across.
        pycolmap.extract_features(
            database,
            images,
            image_names=names,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=pycolmap.ImageReaderOptions(camera_model="SIMPLE_RADIAL"),
            device=pycolmap.Device.cpu,
        )
        done += len(names)
        stage("features", done, count)
    stage("matches", 0, 1)
    if film or count > EXHAUSTIVE:
        pycolmap.match_sequential(database, device=pycolmap.Device.cpu)
    else:
        pycolmap.match_exhaustive(database, device=pycolmap.Device.cpu)
    stage("matches", 1, 1)
    placed = 0

    def one_more() -> None:
        nonlocal placed
        placed = min(placed + 1, count)
        stage("cameras", placed, count)

    models = pycolmap.incremental_mapping(
        database, images, folder, next_image_callback=one_more
    )
    best = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
    registered = 0 if best is None else int(best.num_reg_images())
    if best is None or registered < max(FEWEST, ENOUGH * count):
        raise InputError(
            f"{source}: only {registered} of {count} photographs found their place: take more, "
            "with two thirds of each in the next, of something with texture, in steady light"
        )
    stage("cameras", registered, count)
    for leftover in folder.iterdir():
        if leftover.name != "images":
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    best.write(model)
    return Reconstructed(
        count,
        registered,
        int(best.num_points3D()),
        float(best.compute_mean_reprojection_error()),
    )

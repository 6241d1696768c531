"""Structure from motion: photographs or a video to a COLMAP model, by pycolmap (extra `sfm`).

Schönberger and Frahm, "Structure-from-Motion Revisited" (2016), https://colmap.github.io.
"""

import importlib.util
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrender.data.formats.frame_times import TIMES
from unrender.data.photograph_folders import find_photographs
from unrender.errors import InputError
from unrender.files import check_new, replacing, write_json
from unrender.imaging.files import image_header, write_image
from unrender.imaging.originals import copy_photograph, exif_lens
from unrender.imaging.video_reader import Frame, Video
from unrender.notes import note

VIDEOS = (
    ".mp4",
    ".mov",
    ".m4v",
    ".avi",
    ".mkv",
    ".webm",
    ".mts",
    ".m2ts",
    ".ts",
    ".mpg",
    ".3gp",
)
"""Usual endings of videos; `process` takes every file that can be decoded as one."""
THUMBNAIL = 320
"""Pixels of a frame's longer side where its sharpness is measured."""
MAX_EXHAUSTIVE = 120
"""With more images than this, each is matched only with the following ones."""
SEQUENTIAL_PAIRS = 13
"""Following images that each is matched with: about, for the progress bar alone."""
BLOCK = 10
"""Images of a block, whose pairs with those of another block are matched at once."""
POLL_SECONDS = 0.5
MIN_IMAGES = 3
MIN_REGISTERED = 0.5
"""Fraction of the images that must be registered."""

Stage = Callable[[str, int, int], None]
"""Progress callback: name of the stage, items done, items in total."""


@dataclass(frozen=True)
class Reconstructed:
    """Statistics of a reconstruction."""

    photographs: int
    registered: int
    points: int
    reprojection: float
    """Mean reprojection error in pixels."""
    apart: tuple[int, ...] = ()
    """Sizes of other groups of images, which overlap with one another but not with these."""
    left: tuple[tuple[str, str], ...] = ()
    """Names of images without a camera, with the likely reason, where it is known."""


def process(source: Path, out: Path, frames: int, size: int, stage: Stage) -> Reconstructed:
    """Reconstruct the cameras of a folder of photographs or a video, as images/ and sparse/0/.

    `frames` frames are extracted from a video, whose times in seconds since its first frame
    become times.json. Photographs are copied with their EXIF data, by
    which COLMAP begins with the true focal length, and with alpha; those whose longer side
    exceeds `size` pixels are downscaled, and those that EXIF says to turn are turned. `out` is
    written atomically. Raises InputError if pycolmap is missing, or if
    too few images can be registered.
    """
    if importlib.util.find_spec("pycolmap") is None:
        raise InputError("process: pycolmap is not installed: pip install 'unrender[sfm]'")
    check_new(out)
    with replacing(out, folder=True) as folder:
        (folder / "images").mkdir()
        count = copy_images(source, folder / "images", frames, size, stage)
        return _reconstruct(source, folder, count, source.is_file(), stage)


def copy_images(source: Path, target: Path, frames: int, size: int, stage: Stage) -> int:
    """Copy the photographs of a folder, or the sharpest frames of a video, to another folder.

    Returns how many there are. InputError for fewer than three.
    """
    if source.is_file():
        count = _from_video(source, target, frames, size, stage)
    else:
        count = _from_folder(source, target, size, stage)
    if count < MIN_IMAGES:
        raise InputError(f"{source}: has {count} images: give at least {MIN_IMAGES}")
    return count


def _from_folder(source: Path, target: Path, size: int, stage: Stage) -> int:
    """Copy the photographs of a folder and of those below it, which keep their names."""
    paths = find_photographs(source)
    stems = Counter(str(path.with_suffix("")).lower() for path in paths)
    for k, path in enumerate(paths):
        folder = target / path.parent.relative_to(source)
        folder.mkdir(parents=True, exist_ok=True)
        # `a.jpg` and `a.webp` must not become one file.
        alone = stems[str(path.with_suffix("")).lower()] == 1
        copy_photograph(path, folder, path.stem if alone else path.name, size)
        stage("photographs", k + 1, len(paths))
    return len(paths)


def _from_video(source: Path, target: Path, frames: int, size: int, stage: Stage) -> int:
    """Write the sharpest frame of each of `frames` equal intervals of a video, and its times.

    Frames that repeat the one before them count once. The times of the frames that are taken
    are written beside the folder `target`.
    """
    if frames < MIN_IMAGES:
        raise InputError(f"--frames {frames}: give at least {MIN_IMAGES}")
    video = Video(source)
    distinct: list[int] = []
    sharpness: list[float] = []
    before: Frame | None = None
    times = video.times()
    k = -1
    for k, frame in enumerate(video.frames(THUMBNAIL)):
        if before is None or not np.array_equal(frame, before):
            distinct.append(k)
            sharpness.append(_sharpness(frame))
        before = frame
    if video.problem is not None:
        note(video.problem)
    if len(times) != k + 1:
        note(f"{source}: does not say when each frame was taken: the images have no times")
        times = []
    total = len(distinct)
    edges = np.linspace(0, total, min(frames, total) + 1).round().astype(int)
    chosen = {distinct[int(a + np.argmax(sharpness[a:b]))] for a, b in pairwise(edges)}
    count = 0
    named: dict[str, float] = {}
    for k, frame in enumerate(video.frames(size)):
        if k in chosen:
            name = f"frame_{k:06d}.png"
            image = torch.from_numpy(frame.astype(np.float32) / 255)
            write_image(target / name, image)
            if times:
                named[name] = times[k]
            count += 1
            stage("frames", count, len(chosen))
    if named:
        write_json(target.parent / TIMES, named)
    return count


def _sharpness(frame: Frame) -> float:
    """Variance of the Laplacian, which motion blur lowers."""
    grey = frame.astype(np.float32).mean(2)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def images_by_camera(folder: Path) -> list[list[str]]:
    """Names of images that share intrinsics: of one size, model of camera and focal length.

    Names are relative to the folder, with slashes. Upright images and those that lie across
    have intrinsics of their own, and so have those of each folder if EXIF names no camera.
    """
    found: dict[tuple[object, ...], list[str]] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name, lens = path.relative_to(folder), exif_lens(path)
        place = () if any(lens) else name.parent.parts
        found.setdefault((image_header(path).size, lens, place), []).append(name.as_posix())
    return list(found.values())


def _reconstruct(
    source: Path, folder: Path, count: int, video: bool, stage: Stage
) -> Reconstructed:
    import pycolmap  # noqa: PLC0415 - an extra

    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    database, images = folder / "database.db", folder / "images"
    # COLMAP's own connection shows the progress. Another copy of SQLite in this process would
    # undo its locks (https://sqlite.org/howtocorrupt.html, 2.2.1) and shared memory.
    with closing(pycolmap.Database.open(database)) as known:
        _match(known, database, images, count, video, stage)
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
    apart = groups_apart([{*model.reg_image_ids()} for model in models.values()])
    if best is None or registered < max(MIN_IMAGES, MIN_REGISTERED * count):
        few = f"{source}: only {registered} of {count} images could be registered"
        if apart:
            raise InputError(f"{few}, and {apart_in_words(apart)}")
        raise InputError(
            f"{few}: take more, of a textured scene, in constant light, each overlapping the "
            "next by two thirds"
        )
    stage("cameras", registered, count)
    for leftover in folder.iterdir():
        if leftover.name not in ("images", TIMES):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    best.write(model)
    return Reconstructed(
        count,
        registered,
        int(best.num_points3D()),
        float(best.compute_mean_reprojection_error()),
        apart,
    )


def _match(
    known: Any, database: Path, images: Path, count: int, video: bool, stage: Stage
) -> None:
    """Extract and match features; `known` is a connection to the database."""
    import pycolmap  # noqa: PLC0415 - an extra

    stage("features", 0, count)
    done = 0
    for names in images_by_camera(images):
        with _polled(known.num_images, "features", count, stage):
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
    sequential = video or count > MAX_EXHAUSTIVE
    pairs = count * SEQUENTIAL_PAIRS if sequential else count * (count - 1) // 2
    stage("matches", 0, pairs)
    with _polled(known.num_verified_image_pairs, "matches", pairs, stage):
        if sequential:
            pycolmap.match_sequential(database, device=pycolmap.Device.cpu)
        else:
            # A block of pairs becomes visible when all of it is matched.
            blocks = pycolmap.ExhaustivePairingOptions(block_size=BLOCK)
            pycolmap.match_exhaustive(
                database, pairing_options=blocks, device=pycolmap.Device.cpu
            )
    stage("matches", pairs, pairs)


def groups_apart(models: Sequence[set[int]]) -> tuple[int, ...]:
    """Sizes of groups of images without those of larger groups, the largest left out."""
    known: set[int] = set()
    sizes: list[int] = []
    for group in sorted(models, key=len, reverse=True):
        sizes.append(len(group - known))
        known |= group
    return tuple(size for size in sizes[1:] if size >= MIN_IMAGES)


def apart_in_words(sizes: Sequence[int]) -> str:
    """What groups of images that do not overlap mean, and what to do."""
    listed = " and ".join(str(size) for size in sizes)
    return (
        f"{listed} other images do not overlap with these: give the images of one object or "
        "room at a time, or add some that show what is between"
    )


@contextmanager
def _polled(count: Callable[[], int], name: str, total: int, stage: Stage) -> Generator[None]:
    """Tell what `count` returns as those done, while COLMAP fills its database."""
    done = threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            stage(name, min(count(), total), total)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

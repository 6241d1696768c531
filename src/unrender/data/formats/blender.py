"""Posed images in the Blender layout of NeRF's synthetic scenes: transforms*.json and images.

A frame's `transform_matrix` is world_from_camera in OpenGL axes. Its intrinsics and lens are
read by `calibration`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from unrender.data.dataset import Dataset
from unrender.data.formats.calibration import frame_calibration
from unrender.data.formats.camera_files import camera_frame
from unrender.data.photographs import photograph_sizes, read_photographs
from unrender.data.undistort import note_undistortion, pinhole_cameras, view_names
from unrender.data.validate import Background, check_poses, with_background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import (
    Json,
    check_exists,
    check_new,
    matrix_4x4,
    read_json_object,
    replacing,
    shown,
    write_json,
)
from unrender.geometry.conventions import opencv_from_opengl
from unrender.geometry.undistortion import pinhole_views
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image

HOLD_OUT_EVERY = 10
"""Without a test split, every tenth view (0, 10, 20, …) is held out for testing."""

ENDINGS = ("", ".png", ".jpg", ".jpeg", ".webp")


def load_blender(
    path: Path, background: Background = "auto", every: int = HOLD_OUT_EVERY
) -> Dataset:
    """Load a folder with transforms_{train,test,val}.json or transforms.json.

    Without a test split, the validation split is used; without either, or if `path` is a json
    file, every N-th view is held out, N = `every`. RGBA images are premultiplied; `background`
    is that of images without alpha. Raises InputError.
    """
    train = _train_file(path)
    tests = (train.with_name(f"transforms_{split}.json") for split in ("test", "val"))
    test = next((file for file in tests if file.is_file()), None)
    name = (path if path.is_dir() else path.parent).resolve().name
    if path.is_file() or train.name == "transforms.json" or test is None:
        return hold_out(name, load_blender_views(train, background), every)
    train_views = load_blender_views(train, background)
    if background == "auto":
        background = _as_of(train_views)
    test_views = load_blender_views(test, background)
    if train_views.has_alpha != test_views.has_alpha:
        raise InputError(
            f"{path}: only one of {train.name} and {test.name} has images with alpha; "
            "give all images alpha, or none"
        )
    return Dataset(name, train_views, test_views)


def _as_of(train: Views) -> Background:
    """What is behind the test images: the same as behind the training images."""
    if train.background is not None:
        return "white" if train.background[0] > 0.5 else "black"
    return "opaque" if train.store.opaque else "auto"


def hold_out(name: str, views: Views, every: int = HOLD_OUT_EVERY) -> Dataset:
    """Hold out every N-th view for testing, N = `every`; 0 holds out none. InputError."""
    if every == 0:
        return Dataset.of_views(views, name)
    if every < 2:
        raise InputError(
            f"--hold-out {every}: give 2 or more, for every N-th view, or 0 to hold out none"
        )
    if len(views) < 2:
        raise InputError(
            f"{name}: has only one view; give at least two, for training and testing"
        )
    test = torch.arange(len(views)) % every == 0
    return Dataset(name, views.select(~test), views.select(test))


def load_blender_views(path: Path, background: Background = "auto") -> Views:
    """All views of one json file, or of a folder's training split. Raises InputError."""
    file = _train_file(path)
    content = read_json_object(file)
    frames = _frames(file, content)
    paths = [frame.image for frame in frames]
    sizes = photograph_sizes(paths)
    lens_views = [
        pinhole_views(
            frame.label, frame_calibration(frame.label, content, frame.content, *sizes[k])
        )
        for k, frame in enumerate(frames)
    ]
    world_from_camera = opencv_from_opengl(
        check_poses(
            torch.tensor([frame.matrix for frame in frames], dtype=torch.float64),
            lambda index: f"{file}: frame {index} ({frames[index].name})",
        )
    )
    cameras = pinhole_cameras(world_from_camera, lens_views)
    names = view_names([frame.name for frame in frames], lens_views)
    images = read_photographs(str(file), paths, lens_views)
    note_undistortion(str(file), lens_views)
    images, behind = with_background(images, background)
    return Views(cameras, background=behind, names=names, store=images)


def _train_file(path: Path) -> Path:
    if path.is_file():
        return path
    check_exists(path)
    for name in ("transforms_train.json", "transforms.json"):
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: has neither transforms_train.json nor transforms.json; give the folder of one"
    )


@dataclass(frozen=True)
class _Frame:
    """One entry of a file's `frames`, with checked types."""

    label: str
    """Name of the frame in messages."""
    name: str
    """Path of the image relative to the folder."""
    image: Path
    matrix: list[list[float]]
    content: Json


def _frames(file: Path, content: Json) -> list[_Frame]:
    entries = content.get("frames")
    if not isinstance(entries, list):
        raise InputError(f"{file}: `frames` is {shown(entries)}, not a list; list the images")
    if not entries:
        raise InputError(f"{file}: has zero views in `frames`; list at least one")
    frames: list[_Frame] = []
    for index, entry in enumerate(cast(list[Any], entries)):
        label = f"{file}: frame {index}"
        if not isinstance(entry, dict):
            raise InputError(f"{label} is {shown(entry)}, not an object; correct it")
        frame = cast(Json, entry)
        image = _image_path(file, label, frame.get("file_path"))
        name = image.relative_to(file.parent.resolve()).as_posix()
        matrix = matrix_4x4(
            f"{label} ({name})", "`transform_matrix`", frame.get("transform_matrix")
        )
        frames.append(_Frame(f"{label} ({name})", name, image, matrix, frame))
    return frames


def _image_path(file: Path, label: str, value: Any) -> Path:
    """The image file of a frame, inside the file's folder; the ending may be omitted."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{label}: `file_path` is {shown(value)}, not a file name; correct it")
    folder = file.parent.resolve()
    for ending in ENDINGS:
        try:
            candidate = (folder / (value + ending)).resolve()
            inside = candidate.is_relative_to(folder)
            if inside and candidate.is_file():
                return candidate
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{label}: `file_path` {shown(value)} is not a valid path; correct it"
            ) from error
        if not inside:
            raise InputError(
                f"{label}: `file_path` {shown(value)} leaves the folder {file.parent}; "
                "move the image into the folder"
            )
    raise InputError(
        f"{label}: there is no image {shown(value)} in {file.parent}, "
        f"with or without {', '.join(ENDINGS[1:])}; add it or remove the frame"
    )


def write_blender(path: Path, views: Views) -> None:
    """Write a new folder with transforms_train.json and train/*.png, in straight alpha.

    The folder is written atomically, without depths and normals. Raises InputError if it exists
    or cannot be written.
    """
    check_new(path)
    if views.cameras.intrinsics[:, 0, 1].abs().max() > 0:
        raise InputError(
            f"{path}: the cameras have skew, which this format cannot store; remove it"
        )
    with replacing(path, folder=True) as temporary:
        (temporary / "train").mkdir()
        frames: list[Json] = []
        for index in range(len(views)):
            image = views.store[index]
            straight = unpremultiply(image) if views.has_alpha else image
            write_image(temporary / "train" / f"r_{index}.png", straight)
            frames.append(camera_frame(views.cameras, index, f"./train/r_{index}"))
        width, _ = views.cameras.sizes[0]
        angle = 2 * math.atan(0.5 * width / views.cameras.focal[0].item())
        write_json(
            temporary / "transforms_train.json", {"camera_angle_x": angle, "frames": frames}
        )

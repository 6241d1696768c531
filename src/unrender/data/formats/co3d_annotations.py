"""Sequences of CO3D as they are published: frame_annotations.jgz above a folder for each.

Reizenstein et al., "Common Objects in 3D" (2021), https://github.com/facebookresearch/co3d.
`CATEGORY/frame_annotations.jgz` is a compressed list of all frames of a category, those of the
sequence S in `CATEGORY/S/images` and their masks in `CATEGORY/S/masks`. A frame's `viewpoint`
has R, T, focal lengths and principal point in the convention of `unrender.geometry.pytorch3d`.
With `intrinsics_format` `ndc_isotropic` half of the image's shorter side is 1, and with
`ndc_norm_image_bounds` (the first version) half of each side is.
"""

import gzip
import json
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs
from unrender.data.validate import check_poses, with_background
from unrender.data.views import Views
from unrender.errors import InputError, one_line
from unrender.files import Json, check_file, finite_number, shown, whole_number
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.pytorch3d import from_pytorch3d
from unrender.notes import note

ANNOTATIONS = "frame_annotations.jgz"
MAX_ANNOTATIONS = 1 << 30
"""Bytes of a decompressed list of frames, at most; the largest categories have a tenth."""
MAX_SIDE = 100_000


def find_annotations(path: Path) -> Path | None:
    """The annotations of the category to which a sequence's folder belongs, or None."""
    file = path.absolute().parent / ANNOTATIONS
    return file if (path / "images").is_dir() and file.is_file() else None


def load_annotated(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """All frames of a sequence by their numbers, cut out by its masks.

    With the background "opaque" masks are not read. Frames without a camera, without an image
    or with an empty mask are left out, with a note. Raises InputError for damaged annotations
    and images.
    """
    file = find_annotations(path)
    if file is None:
        raise InputError(f"{path}: has no images, or no {ANNOTATIONS} above it: add them")
    name = path.resolve().name
    frames = _by_sequence(file, *_state(file)).get(name)
    if not frames:
        raise InputError(f"{file}: has no frames of {name}: give a folder that it names")
    opaque = options.background == "opaque"
    labels = [f"{file}: {name}: frame {number}" for number, _ in frames]
    photographs: list[Path] = []
    masks: list[Path | None] = []
    sizes: list[tuple[int, int]] = []
    cameras: list[Cameras] = []
    kept: list[str] = []
    for label, (_, frame) in zip(labels, frames, strict=True):
        image = path / "images" / _file_name(label, "image", frame)
        mask = None
        if not opaque and frame.get("mask") is not None:
            mask = _file_name(label, "mask", frame)
        empty = mask is not None and frame["mask"].get("mass") == 0
        if frame.get("viewpoint") is None or empty or not image.is_file():
            continue
        masks.append(None if mask is None else path / "masks" / mask)
        photographs.append(image)
        sizes.append(_size(label, frame))
        cameras.append(_camera(label, frame["viewpoint"], *sizes[-1]))
        kept.append(label)
    if not kept:
        raise InputError(f"{path}: no frame of {file.name} has a camera and an image: add them")
    if len(kept) < len(frames):
        missing = next(label for label in labels if label not in set(kept))
        note(
            f"{path}: {len(frames) - len(kept)} of {len(frames)} frames have no camera, no "
            f"image or an empty mask, such as {missing.rpartition(': ')[2]}: they are left out"
        )
    found = concatenate(cameras)
    pose = check_poses(found.world_from_camera, lambda k: kept[k])
    files = Photographs.of(str(path), photographs, sizes)
    names = tuple(each.name for each in photographs)
    for mask in masks:
        if mask is not None:
            check_file(mask, "add the mask, or give --background opaque")
    images = files.read(names, options, masks=masks)
    images, behind = with_background(images, options.background)
    whole = Cameras(pose, found.intrinsics.float(), sizes=found.sizes)
    return Views(whole.with_sizes(images.sizes), background=behind, store=images, names=names)


def _state(file: Path) -> tuple[int, int]:
    """What changes if a file is written again."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1)
def _by_sequence(file: Path, changed: int, size: int) -> dict[str, list[tuple[int, Json]]]:
    """Frames with their numbers, in their order, by the name of their sequence. InputError.

    The last category is remembered, whose sequences are read one after the other.
    """
    del changed, size
    try:
        with gzip.open(file) as stream:
            content = stream.read(MAX_ANNOTATIONS + 1)
        frames: Any = json.loads(content) if len(content) <= MAX_ANNOTATIONS else None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: is not compressed JSON ({one_line(error)}); copy it again"
        ) from error
    if len(content) > MAX_ANNOTATIONS:
        raise InputError(f"{file}: is larger than {MAX_ANNOTATIONS:,} bytes; copy it again")
    if not isinstance(frames, list):
        raise InputError(
            f"{file}: contains {shown(frames)}, not a list of frames; copy it again"
        )
    found: dict[str, list[tuple[int, Json]]] = {}
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("sequence_name"), str):
            raise InputError(f"{file}: entry {index} names no sequence; copy the file again")
        label = f"{file}: entry {index}"
        number = whole_number(label, "`frame_number`", frame.get("frame_number"))
        found.setdefault(frame["sequence_name"], []).append((number, frame))
    for each in found.values():
        each.sort(key=lambda pair: pair[0])
    return found


def _file_name(label: str, what: str, frame: Json) -> str:
    """The last part of the path of a frame's image or mask. InputError."""
    entry = frame.get(what)
    path = entry.get("path") if isinstance(entry, dict) else None
    name = PurePosixPath(path).name if isinstance(path, str) else ""
    if not name or name == ".." or "\0" in name:
        raise InputError(f"{label}: the path of its {what} is {shown(path)}; correct it")
    return name


def _size(label: str, frame: Json) -> tuple[int, int]:
    """Width and height of the image to which the camera belongs. InputError."""
    size = frame["image"].get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise InputError(f"{label}: its size is {shown(size)}, not a height and a width")
    height, width = (whole_number(label, "its size", side, 1, MAX_SIDE) for side in size)
    return width, height


def _camera(label: str, viewpoint: Any, width: int, height: int) -> Cameras:
    """The camera of a frame. InputError."""
    if not isinstance(viewpoint, dict):
        raise InputError(f"{label}: its viewpoint is {shown(viewpoint)}; copy the file again")
    unit = viewpoint.get("intrinsics_format", "ndc_norm_image_bounds")
    half = torch.tensor([width, height], dtype=torch.float64) / 2
    scales = {"ndc_isotropic": half.min().expand(2), "ndc_norm_image_bounds": half}
    scale = scales.get(unit.lower()) if isinstance(unit, str) else None
    if scale is None:
        raise InputError(
            f"{label}: `intrinsics_format` is {shown(unit)}; give {' or '.join(scales)}"
        )
    rows = viewpoint.get("R")
    if not isinstance(rows, list) or len(rows) != 3:
        raise InputError(f"{label}: `R` is {shown(rows)}, not three rows; copy the file again")
    rotation = torch.stack([_numbers(label, "a row of `R`", row, 3) for row in rows])
    focal = scale * _numbers(label, "`focal_length`", viewpoint.get("focal_length"), 2)
    offset = scale * _numbers(label, "`principal_point`", viewpoint.get("principal_point"), 2)
    if not bool((focal > 0).all()):
        raise InputError(f"{label}: a focal length is not positive: correct it")
    translation = _numbers(label, "`T`", viewpoint.get("T"), 3)
    return from_pytorch3d(
        rotation[None], translation[None], focal[None], (half - offset)[None],
        width, height, in_ndc=False,
    )  # fmt: skip


def _numbers(label: str, what: str, values: Any, count: int) -> Tensor:
    """So many finite numbers in double precision. InputError."""
    if not isinstance(values, list) or len(values) != count:
        raise InputError(f"{label}: {what} is {shown(values)}, not {count} numbers")
    numbers = [finite_number(label, what, value) for value in values]
    return torch.tensor(numbers, dtype=torch.float64)

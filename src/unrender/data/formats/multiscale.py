"""Multiscale Blender scenes of mip-NeRF: metadata.json and images.

Barron et al., "Mip-NeRF" (2021), sec. 4.1. For each split, lists of equal length: `file_path`,
`cam2world` in OpenGL axes, `width`, `height` and `focal` in pixels. Usually every view is
there at every size.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unrender.data.dataset import Dataset
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs
from unrender.data.splits import alike, without_copies
from unrender.data.validate import check_poses, with_background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import read_json_object, shown
from unrender.files.data_folder import DataFolder
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl
from unrender.imaging.files import ENDINGS

FILE = "metadata.json"
KEYS = ("file_path", "cam2world", "width", "height", "focal")


def load_multiscale(path: Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """Every view at every size, the largest first. Raises InputError."""
    file = path / FILE
    content = read_json_object(file)
    splits: list[Views] = []
    for split in ("train", options.split):
        lists = content.get(split)
        if not isinstance(lists, dict):
            raise InputError(f"{file}: has no object `{split}`: list the images of this split")
        splits.append(_views(path, f"{file}: {split}", lists, options))
    train, test = splits
    data = Dataset(path.resolve().name, train, alike(str(file), train, test))
    return without_copies(str(file), data, options.hold_out)


def _views(path: Path, label: str, lists: Mapping[str, Any], options: LoadOptions) -> Views:
    for key in KEYS:
        if not isinstance(lists.get(key), list) or len(lists[key]) != len(lists[KEYS[0]]):
            raise InputError(
                f"{label}: `{key}` is not a list as long as `{KEYS[0]}`: correct it"
            )
    sizes = list(zip(lists["width"], lists["height"], strict=True))
    for size in sizes:
        if not all(isinstance(side, int) and 0 < side < 1 << 16 for side in size):
            raise InputError(
                f"{label}: an image size is {size[0]!r:.20} x {size[1]!r:.20}: correct it"
            )
    if not sizes:
        raise InputError(f"{label}: has zero views; list at least one")
    order = sorted(range(len(sizes)), key=lambda k: sizes[k], reverse=True)
    folder = DataFolder(path, options.outside)
    paths: list[Path] = []
    for k in order:
        name = lists["file_path"][k]
        found = folder.find(label, f"`file_path` {k}", name, ENDINGS)
        if found is None:
            raise InputError(f"{label}: there is no image {shown(name)} in {path}: add it")
        paths.append(found)
    folder.tell(path / FILE)
    try:
        matrices = torch.tensor([lists["cam2world"][k] for k in order], dtype=torch.float64)
        focal = torch.tensor([float(lists["focal"][k]) for k in order])
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{label}: a pose or focal length is not a number: correct it"
        ) from error
    if matrices.shape != (len(order), 4, 4):
        raise InputError(f"{label}: a matrix of `cam2world` is not 4x4: correct it")
    if not bool(((focal > 0) & (focal < math.inf)).all()):
        raise InputError(f"{label}: a focal length is not positive: correct it")
    pose = opencv_from_opengl(check_poses(matrices, lambda k: f"{label}: {paths[k].name}"))
    files = Photographs.of(label, paths, [sizes[k] for k in order])
    for k, file in enumerate(paths):
        if files.sizes[k] != sizes[order[k]]:
            width, height = files.sizes[k]
            raise InputError(
                f"{file}: is {width}x{height}, but {FILE} has another size: correct it"
            )
    cameras = Cameras.from_focal(pose, focal, sizes=files.sizes)
    names = tuple(map(folder.name, paths))
    images, behind = with_background(files.read(names, options), options.background)
    return Views(cameras.with_sizes(images.sizes), background=behind, names=names, store=images)

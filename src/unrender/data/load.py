"""Loading of posed images: a built-in scene, a file, or a folder in a supported format."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from unrender.data.builtin import SCENES, built_in
from unrender.data.dataset import Dataset
from unrender.data.formats.blender import load_blender
from unrender.data.formats.co3d import is_co3d, load_co3d
from unrender.data.formats.co3d_annotations import ANNOTATIONS
from unrender.data.formats.colmap import load_colmap
from unrender.data.formats.colmap_models import find_colmap
from unrender.data.formats.idr import find_idr, load_idr
from unrender.data.formats.light_field_grid import is_light_field_grid, load_light_field_grid
from unrender.data.formats.llff import POSES, load_llff
from unrender.data.formats.multiscale import FILE, load_multiscale
from unrender.data.formats.nerfies import is_nerfies, load_nerfies
from unrender.data.formats.nonrigid_nerf import is_nonrigid_nerf, load_nonrigid_nerf
from unrender.data.formats.npz import load_npz
from unrender.data.formats.realestate10k import (
    find_frames,
    is_realestate10k,
    lists_of_cameras,
    load_realestate10k,
    without_frames,
)
from unrender.data.masks import cut_out, find_masks
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.origin import HERE, one_origin
from unrender.data.photographs import downscaled_sizes
from unrender.data.splits import check_split, hold_out, tell_repeated
from unrender.data.structure_from_motion import VIDEOS
from unrender.data.times import check_times
from unrender.data.validate import check_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import check_exists, system_errors_told
from unrender.imaging.files import ENDINGS, is_image_file
from unrender.shapes.files.shape import READABLE


@dataclass(frozen=True)
class Format:
    """A file format of posed images."""

    name: str
    what: str
    """How to recognize it, shown if no format is recognized."""
    recognizes: Callable[[Path], bool]
    load: Callable[[Path, LoadOptions], Dataset]
    """Raises InputError if `options.split` is a split that the data do not have."""


def _held_out(
    load: Callable[[Path, LoadOptions], Views],
) -> Callable[[Path, LoadOptions], Dataset]:
    """Loader of a capture without a test split."""

    def load_all(path: Path, options: LoadOptions) -> Dataset:
        check_split(str(path), options)
        return hold_out(path.resolve().name, load(path, options), options.hold_out)

    return load_all


def _load_npz(path: Path, options: LoadOptions) -> Dataset:
    check_split(str(path), options)
    data = hold_out(path.stem, load_npz(path, options.background), options.hold_out)
    return _changed(data, options)


def _load_realestate10k(path: Path, options: LoadOptions) -> Dataset:
    check_split(str(path), options)
    whole = path.resolve()
    name = whole.name if path.is_dir() else whole.stem
    return hold_out(name, load_realestate10k(path, options), options.hold_out)


def _is_realestate10k(path: Path) -> bool:
    if path.is_dir():
        lists = lists_of_cameras(path)
    else:
        lists = [path] if path.suffix == ".txt" and is_realestate10k(path) else []
    return any(find_frames(file) is not None for file in lists)


def _is_blender(path: Path) -> bool:
    names = ("transforms_train.json", "transforms.json")
    return path.suffix == ".json" or any((path / name).is_file() for name in names)


GRID = "light-field-grid"
# The first match is used: Nerfies also has a metadata.json, LLFF scenes also contain the COLMAP
# model they were made from, and a list of RealEstate10K's may be called cameras.txt, as in
# COLMAP.
FORMATS = (
    Format(
        "npz",
        ".npz",
        lambda path: path.suffix == ".npz",
        _load_npz,
    ),
    Format(
        "blender",
        "transforms.json",
        _is_blender,
        load_blender,
    ),
    Format(
        "nerfies",
        "dataset.json (Nerfies)",
        is_nerfies,
        load_nerfies,
    ),
    Format(
        "multiscale",
        "metadata.json",
        lambda path: (path / FILE).is_file(),
        load_multiscale,
    ),
    Format(
        "nonrigid-nerf",
        "precomputed.json (NR-NeRF)",
        is_nonrigid_nerf,
        _held_out(load_nonrigid_nerf),
    ),
    Format(
        "llff",
        "poses_bounds.npy (LLFF)",
        lambda path: (path / POSES).is_file(),
        _held_out(load_llff),
    ),
    Format(
        "idr",
        "cameras.npz (IDR)",
        lambda path: find_idr(path) is not None,
        _held_out(load_idr),
    ),
    Format(
        "realestate10k",
        "ID.txt (RealEstate10K)",
        _is_realestate10k,
        _load_realestate10k,
    ),
    Format(
        "colmap",
        "sparse/0 (COLMAP)",
        lambda path: find_colmap(path) is not None,
        _held_out(load_colmap),
    ),
    Format(
        "co3d",
        "imgs and poses (CO3D)",
        is_co3d,
        _held_out(load_co3d),
    ),
    Format(
        GRID,
        "NAME_ROW_COL_V_U.png",
        is_light_field_grid,
        load_light_field_grid,
    ),
)


def has_cameras(path: Path) -> bool:
    """Whether a file or folder is in a format of posed images."""
    return any(known.recognizes(path) for known in FORMATS)


def recognize(path: Path) -> Format:
    """The format of a file or folder. Raises InputError if none is recognized."""
    check_exists(path)
    for known in FORMATS:
        if known.recognizes(path):
            return known
    _check_not_other(path)
    entries = sorted(path.iterdir()) if path.is_dir() else []
    for folder in (path, *(entry for entry in entries if entry.is_dir())):
        images = sum(map(is_image_file, folder.glob("*")))
        if images:
            raise InputError(
                f"{folder}: {images} images without camera poses: run `unrender process "
                f"{folder} --out SCENE`, or unrender.process in Python, which finds them by "
                "COLMAP"
            )
    raise InputError(
        f"{path}: is not in a supported format; give {', '.join(k.what for k in FORMATS)}"
    )


def _check_not_other(path: Path) -> None:
    """Raise InputError for a film, an image or a shape, with the command that takes it."""
    if (path / ANNOTATIONS).is_file():
        raise InputError(
            f"{path}: is a category of CO3D, with many sequences: give the folder of one, with "
            "images in it"
        )
    ending = path.suffix.lower() if path.is_file() else ""
    if ending == ".txt" and is_realestate10k(path):
        raise InputError(without_frames(path))
    if ending in VIDEOS:
        raise InputError(
            f"{path}: is a film without camera poses: run `unrender process {path} --out "
            "SCENE`, or unrender.process in Python, which finds them by COLMAP"
        )
    if ending in ENDINGS:
        raise InputError(
            f"{path}: is one image, and a scene needs many: give their folder to `unrender "
            f"process`, or fit the image itself: unrender fit image-field --data {path}"
        )
    if ending in READABLE:
        raise InputError(
            f"{path}: is a shape, not posed images: unrender fit-shape {path}, or as a signed "
            f"distance field: unrender fit sdf --data {path}"
        )


@system_errors_told()
def load_dataset(source: str | Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """Load training and test views.

    `source` is a path or the name of a built-in scene; a path takes precedence. Raises
    InputError if nothing can be loaded, or if options do not fit the data.
    """
    path = _path(source)
    if path is None:
        check_split(str(source), options)
        _check_not_of_grids(str(source), options)
        data = _changed(built_in(str(source), options.light), options)
    elif options.light != "direct":
        raise InputError(
            f"--light {options.light}: {source} is not a built-in scene: leave out --light, or "
            f"give one of {', '.join(SCENES)}"
        )
    else:
        known = recognize(path)
        if known.name != GRID:
            _check_not_of_grids(str(source), options)
        with one_origin(str(source)) as origin:
            data = known.load(path, options)
        if origin() != HERE:
            train, test = (replace(views, origin=origin()) for views in (data.train, data.test))
            data = replace(data, train=train, test=test)
    for views in (data.train, data.test):
        check_views(str(source), views)
    if options.masks is not None and data.test.names:
        # No two images of both splits may have the same mask.
        find_masks((*data.train.names, *data.test.names), Path(options.masks))
    check_times(str(source), data)
    tell_repeated(str(source), data)
    data = replace(data, source=str(source), options=options)
    if options.ball is not None:
        train, test = (_within(views, options.ball) for views in (data.train, data.test))
        data = replace(data, train=train, test=test)
    return data


def _check_not_of_grids(label: str, options: LoadOptions) -> None:
    """InputError for options that only light fields have."""
    for name in ("fov", "reference_plane"):
        value = getattr(options, name)
        if value is not None:
            raise InputError(
                f"--{name.replace('_', '-')} {value:g}: {label} has cameras of its own: leave "
                "the option out, which is for light fields whose names have no lens"
            )


def _changed(data: Dataset, options: LoadOptions) -> Dataset:
    """Views that do not come from image files, cut out by masks and downscaled. InputError."""
    if options.masks is not None:
        folder = Path(options.masks)
        train, test = (
            cut_out(views, folder) if len(views) else views for views in (data.train, data.test)
        )
        data = replace(data, train=train, test=test)
    return data if options.downscale == 1 else downscaled(data, options.downscale)


def downscaled(scene: Dataset, downscale: int) -> Dataset:
    """The dataset with images downscaled by an integer factor. InputError."""
    train, test = (
        views.with_sizes(downscaled_sizes(views.cameras.sizes, downscale))
        for views in (scene.train, scene.test)
    )
    options = replace(scene.options or DEFAULTS, downscale=downscale)
    return replace(scene, train=train, test=test, options=options)


def _within(views: Views, ball: tuple[float, float, float, float]) -> Views:
    """The views with a given bounding sphere. InputError if no camera sees it."""
    center, radius = torch.tensor(ball[:3], dtype=torch.float64), ball[3]
    center = (center - torch.tensor(views.origin, dtype=torch.float64)).float()
    if not (bool(center.isfinite().all()) and 0 < radius < math.inf):
        raise InputError(f"--ball {ball}: give a finite center and a radius above 0")
    cameras = views.cameras
    count = len(cameras)
    pixel, depth = cameras.project(torch.arange(count), center.expand(count, 3))
    # Radius of the ball in each image, in pixels.
    reach = cameras.focal * radius / depth.clamp_min(1e-6)
    off = torch.maximum(-pixel, pixel - cameras.sizes.rows).amax(1)
    inside = (cameras.centers - center).norm(dim=1) <= radius
    if not bool((inside | ((depth > 0) & (off <= reach))).any()):
        raise InputError(f"--ball {ball}: no camera sees any of it: check its center and unit")
    return replace(views, ball=torch.tensor([*center.tolist(), radius]))


def _path(source: str | Path) -> Path | None:
    """The source as a path, or None for a built-in scene."""
    path = Path(source)
    if path.exists():
        return path
    if source in SCENES:
        return None
    close = difflib.get_close_matches(str(source), SCENES, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(
        f"{source}: is neither a file, a folder nor a built-in scene{hint}; give a path or one "
        f"of {', '.join(SCENES)}"
    )

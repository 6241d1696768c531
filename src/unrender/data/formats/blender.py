"""Posed images in the Blender layout of NeRF's synthetic scenes: transforms*.json and images.

A frame's `transform_matrix` is world_from_camera in OpenGL axes. Its intrinsics and lens are
read by `calibration`. Frames of a moving scene have a `time`, as in D-NeRF, and may have the
ids of Nerfies: `appearance_id`, `warp_id` and `camera_id`.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from unrender.data.dataset import Dataset
from unrender.data.formats.calibration import camera_size, frame_calibration
from unrender.data.formats.camera_files import camera_frame, check_no_skew
from unrender.data.formats.frame_times import frame_ids, frame_times, ids_entry
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs
from unrender.data.splits import (
    alike,
    background_of,
    check_split,
    held_out_splits,
    hold_out,
    without_copies,
)
from unrender.data.undistort import (
    note_undistortion,
    pinhole_cameras,
    view_names,
    view_photographs,
)
from unrender.data.validate import Background, check_poses, with_background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import (
    Json,
    check_exists,
    check_new,
    pose_matrix,
    read_json_object,
    replacing,
    shown,
    write_json,
)
from unrender.files.data_folder import DataFolder
from unrender.geometry.conventions import opencv_from_opengl
from unrender.geometry.undistortion import pinhole_views
from unrender.imaging.files import ENDINGS, write_image
from unrender.notes import note

SPLITS = ("train", "test", "val")


def load_blender(path: Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """Load a folder with transforms_{train,test,val}.json or transforms.json.

    `transforms.json` may name the images of its splits, as nerfstudio does. Without a test
    split, or if `options.split` is val, the validation split is used; without either, if none
    of its images is there, or if `path` is a json file without splits, every N-th view is held
    out. RGBA images are premultiplied. Raises InputError, also where val was asked for and is
    not there.
    """
    file = _train_file(path)
    name = (path if path.is_dir() else path.parent).resolve().name
    listing = _Listing.read(file, options)
    if listing.has_splits:
        return _of_lists(name, listing, options)
    train = listing.views(options)
    if path.is_dir() and file.name != "transforms.json":
        for split in held_out_splits(options):
            other = file.with_name(f"transforms_{split}.json")
            test = _test_listing(other, options) if other.is_file() else None
            if test is not None:
                return _with_test(name, train, test, options)
    check_split(str(path), options)
    return hold_out(name, train, options.hold_out)


def load_blender_views(path: Path, background: Background = "auto") -> Views:
    """All views of one json file, or of a folder's training split. Raises InputError."""
    options = replace(DEFAULTS, background=background)
    return _Listing.read(_train_file(path), options).views(options)


def _with_test(name: str, train: Views, listing: "_Listing", options: LoadOptions) -> Dataset:
    if options.background == "auto":
        options = replace(options, background=background_of(train))
    test = alike(str(listing.file), train, listing.views(options))
    return without_copies(str(listing.file), Dataset(name, train, test), options.hold_out)


def _test_listing(file: Path, options: LoadOptions) -> "_Listing | None":
    """A test split, or None if it lists images that were never rendered."""
    listing = _Listing.read(file, options, may_be_empty=True)
    missing = [frame for frame in listing.frames if frame.image is None]
    if len(missing) < len(listing.frames):
        return listing
    what = "has zero views" if not missing else f"none of its {len(missing)} images is there"
    note(f"{file}: {what}: views are held out of the training views instead")
    return None


def _of_lists(name: str, listing: "_Listing", options: LoadOptions) -> Dataset:
    """The splits that a file names by lists of images."""
    chosen = {split: listing.split(split) for split in SPLITS}
    held = next((found for each in held_out_splits(options) if (found := chosen[each])), ())
    # Without a list for training, it is all that no other list names.
    named = {frame.name for frames in chosen.values() for frame in frames or ()}
    rest = tuple(frame for frame in listing.frames if frame.name not in named)
    kept = rest if chosen["train"] is None else chosen["train"]
    unused = len(listing.frames) - len({frame.name for frame in (*kept, *held)})
    if unused:
        note(f"{listing.file}: {unused} images are in neither of the splits that are used")
    if not kept:
        raise InputError(f"{listing.file}: `train_filenames` names no image: name some")
    train = replace(listing, frames=kept).views(options)
    if not held:
        check_split(str(listing.file), options)
        return hold_out(name, train, options.hold_out)
    return _with_test(name, train, replace(listing, frames=held), options)


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
    image: Path | None
    """None if there is no such file."""
    mask: Path | None
    matrix: list[list[float]]
    content: Json


@dataclass(frozen=True)
class _Listing:
    """A file with its frames."""

    file: Path
    content: Json
    frames: tuple[_Frame, ...]
    folder: DataFolder

    @classmethod
    def read(cls, file: Path, options: LoadOptions, may_be_empty: bool = False) -> "_Listing":
        content = read_json_object(file)
        entries = content.get("frames")
        if not isinstance(entries, list):
            raise InputError(
                f"{file}: `frames` is {shown(entries)}, not a list; list the images"
            )
        if not entries and not may_be_empty:
            raise InputError(f"{file}: has zero views in `frames`; list at least one")
        folder = DataFolder(file.parent, options.outside)
        frames = [_frame(file, folder, k, entry) for k, entry in enumerate(entries)]
        folder.tell(file)
        return cls(file, content, tuple(frames), folder)

    @property
    def has_splits(self) -> bool:
        return any(f"{split}_filenames" in self.content for split in SPLITS)

    def split(self, split: str) -> tuple[_Frame, ...] | None:
        """The frames that `train_filenames` and the like name; None without such a list."""
        key = f"{split}_filenames"
        names = self.content.get(key)
        if names is None:
            return None
        if not isinstance(names, list):
            raise InputError(f"{self.file}: `{key}` is {shown(names)}, not a list; correct it")
        known = {frame.name: frame for frame in self.frames}
        found: list[_Frame] = []
        for k, name in enumerate(cast(list[Any], names)):
            path = self.folder.find(f"{self.file}: `{key}`", f"entry {k}", name, ENDINGS)
            frame = None if path is None else known.get(self.folder.name(path))
            if frame is None:
                raise InputError(
                    f"{self.file}: `{key}` names {shown(name)}, which is not among the images "
                    "of `frames`; correct it"
                )
            found.append(frame)
        return tuple(found)

    def views(self, options: LoadOptions) -> Views:
        """The cameras and images of the frames. Raises InputError."""
        for frame in self.frames:
            if frame.image is None:
                raise InputError(
                    f"{frame.label}: there is no image "
                    f"{shown(frame.content.get('file_path'))}, with any ending of "
                    f"{', '.join(ENDINGS)}; add it or remove the frame"
                )
        paths = [frame.image for frame in self.frames if frame.image is not None]
        photographs = Photographs.of(
            str(self.file),
            paths,
            [camera_size(f.label, self.content, f.content) for f in self.frames],
        )
        lens_views = [
            pinhole_views(
                frame.label, frame_calibration(frame.label, self.content, frame.content, *size)
            )
            for frame, size in zip(
                self.frames, photographs.sizes.each(len(paths)).tolist(), strict=True
            )
        ]
        world_from_camera = opencv_from_opengl(
            check_poses(
                torch.tensor([frame.matrix for frame in self.frames], dtype=torch.float64),
                lambda index: self.frames[index].label,
            )
        )
        labels = [frame.label for frame in self.frames]
        contents = [frame.content for frame in self.frames]
        cameras = pinhole_cameras(world_from_camera, lens_views, frame_times(labels, contents))
        ids = frame_ids(labels, contents)
        if ids is not None:
            ids = ids.select(view_photographs(lens_views))
        names = tuple(frame.name for frame in self.frames)
        masks = [frame.mask for frame in self.frames]
        if any(masks):
            note(
                f"{self.file}: {len(masks) - masks.count(None)} of {len(masks)} images are cut "
                "out by their `mask_path`: black is empty space"
            )
        images = photographs.read(names, options, lens_views, masks)
        note_undistortion(str(self.file), lens_views)
        names = view_names(names, lens_views)
        images, behind = with_background(images, options.background)
        cameras = cameras.with_sizes(images.sizes)
        return Views(cameras, background=behind, names=names, store=images, ids=ids)


def _frame(file: Path, folder: DataFolder, index: int, entry: Any) -> _Frame:
    label = f"{file}: frame {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{label} is {shown(entry)}, not an object; correct it")
    frame = cast(Json, entry)
    value = frame.get("file_path")
    image = folder.find(label, "`file_path`", value, ENDINGS)
    name = str(value) if image is None else folder.name(image)
    mask_name = frame.get("mask_path")
    mask = None
    if mask_name is not None:
        mask = folder.find(label, "`mask_path`", mask_name, ENDINGS)
        if mask is None:
            raise InputError(
                f"{label}: there is no mask {shown(mask_name)} in {file.parent}; add it or "
                "remove the entry"
            )
    matrix = pose_matrix(
        f"{label} ({name})", "`transform_matrix`", frame.get("transform_matrix")
    )
    return _Frame(f"{label} ({name})", name, image, mask, matrix, frame)


def write_blender(path: Path, train: Views, test: Views | None = None) -> None:
    """Write a new folder with transforms_train.json and train/*.png, in straight alpha.

    Test views, if there are any, become transforms_test.json and test/*.png. The folder is
    written atomically, with times and ids, without depths and normals. Raises InputError if it
    exists or cannot be written.
    """
    splits = {"train": train}
    if test is not None and len(test):
        splits["test"] = test
    check_new(path)
    for views in splits.values():
        check_no_skew(path, views.cameras)
    with replacing(path, folder=True) as temporary:
        for split, views in splits.items():
            _write_split(temporary, split, views)


def _write_split(folder: Path, split: str, views: Views) -> None:
    (folder / split).mkdir()
    frames: list[Json] = []
    for index in range(len(views)):
        write_image(folder / split / f"r_{index}.png", views.straight(index))
        name = f"./{split}/r_{index}"
        frame = camera_frame(views.cameras, index, name, views.origin)
        frames.append(frame | ids_entry(views.ids, index))
    width, _ = views.cameras.sizes[0]
    angle = 2 * math.atan(0.5 * width / views.cameras.focal[0].item())
    write_json(folder / f"transforms_{split}.json", {"camera_angle_x": angle, "frames": frames})

"""Captures of moving scenes in the layout of Nerfies and HyperNeRF.

Park et al., https://github.com/google/nerfies#datasets. `dataset.json` lists the images of both
splits. `metadata.json` has each image's appearance, moment and camera, numbered from 0: the
moment is `warp_id`, by which a method deforms the scene, and in HyperNeRF also `time_id`.
`camera/ID.json` is a camera, and `rgb/Nx/ID.png` its image, downscaled by N. `scene.json` has
the center of the scene, and the factor by which methods scale it. `points.npy`, if it is there,
has points of the scene that do not move.

A camera has `orientation`, the rotation camera_from_world in OpenCV axes, `position`, its
center, and OpenCV's lens model with three radial coefficients.

What this library writes also has the exact `time` of each image in metadata.json.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.formats.frame_times import (
    MAX_ID,
    TIME,
    WARP,
    frame_ids,
    frame_times,
)
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.origin import recentred_points
from unrender.data.photographs import Photographs
from unrender.data.splits import check_split, hold_out, without_copies
from unrender.data.undistort import (
    LensViews,
    note_undistortion,
    pinhole_cameras,
    view_names,
)
from unrender.data.validate import check_cameras, check_poses
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import (
    Json,
    finite_number,
    read_json_object,
    shown,
    whole_number,
)
from unrender.files.arrays import read_npy
from unrender.geometry.cameras import Cameras
from unrender.geometry.lenses import Lens
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.undistortion import Calibration, pinhole_views
from unrender.imaging.files import ENDINGS, is_image_file

LISTING, METADATA, SCENE = "dataset.json", "metadata.json", "scene.json"
POINTS, IMAGES = "points.npy", "rgb"


def is_nerfies(path: Path) -> bool:
    """Whether a folder is such a capture."""
    return (path / LISTING).is_file() and (path / "camera").is_dir()


def load_nerfies(path: Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """The training and validation views of a folder.

    Without validation views, every N-th training view is held out. The cameras' times are the
    `time` of all images in metadata.json, or else their `time_id`, or else their `warp_id`.
    Raises InputError.
    """
    train, test = _splits(path)
    known = _Capture(path, read_json_object(path / METADATA), options)
    name = path.resolve().name
    views = known.views(train)
    if not test:
        check_split(str(path), options)
        return hold_out(name, views, options.hold_out)
    return without_copies(str(path), Dataset(name, views, known.views(test)), options.hold_out)


def nerfies_cameras(path: Path) -> tuple[Cameras, ViewIds, int]:
    """The cameras of a folder without images, their ids, and how many are held out.

    Cameras of lenses are the pinhole cameras that their images would be read as. InputError.
    """
    train, test = _splits(path)
    capture = _Capture(path, read_json_object(path / METADATA), DEFAULTS)
    cameras, ids, _ = capture.cameras((*train, *test))
    check_cameras(str(path), cameras)
    return cameras, ids, len(test)


def _splits(path: Path) -> tuple[list[str], list[str]]:
    """Names of the training and validation images. InputError."""
    file = path / LISTING
    listing = read_json_object(file)
    train, test = (_ids(file, listing, key) for key in ("train_ids", "val_ids"))
    if not train:
        train = [each for each in _ids(file, listing, "ids") if each not in set(test)]
    if not train:
        raise InputError(f"{file}: `train_ids` names no image: name some")
    return train, test


class _Capture:
    """A folder, from which some of the images are read."""

    def __init__(self, path: Path, metadata: Json, options: LoadOptions):
        self.path, self.metadata, self.options = path, metadata, options
        every = metadata.values()
        self.has_times = any(isinstance(e, dict) and "time" in cast(Json, e) for e in every)
        self.ball, self.points = _ball(path), _points(path)

    def views(self, names: list[str]) -> Views:
        """The views of these images. InputError."""
        folder = _image_folder(self.path)
        files = [_image(folder, name) for name in names]
        sizes = [_Camera(self.path, name).size for name in names]
        photographs = Photographs.of(str(self.path), files, sizes)
        found, ids, lens_views = self.cameras(names, photographs.sizes)
        images = photographs.read(tuple(names), self.options, lens_views).with_opaque_alpha()
        note_undistortion(str(self.path), lens_views)
        return Views(
            found.with_sizes(images.sizes),
            store=images,
            names=view_names(tuple(f"{name}.png" for name in names), lens_views),
            points=None if self.points is None else recentred_points(self.points).float(),
            ball=_recentred(self.ball),
            ids=ids,
        )

    def cameras(
        self, names: Sequence[str], sizes: ImageSizes | None = None
    ) -> tuple[Cameras, ViewIds, LensViews]:
        """The pinhole cameras of images of these `sizes`, or of full size. InputError."""
        cameras = [_Camera(self.path, name) for name in names]
        if sizes is None:
            sizes = ImageSizes.of([each.size for each in cameras])
        lens_views = [
            pinhole_views(camera.label, camera.calibration(*size))
            for camera, size in zip(cameras, sizes.each(len(names)).tolist(), strict=True)
        ]
        poses = check_poses(
            torch.stack([camera.world_from_camera for camera in cameras]),
            lambda index: cameras[index].label,
        )
        times, ids = self._moments(names)
        return pinhole_cameras(poses, lens_views, times), ids, lens_views

    def _moments(self, names: Sequence[str]) -> tuple[Float[Tensor, "views"], ViewIds]:
        """The times and ids of images in metadata.json. InputError."""
        labels = [f"{self.path / METADATA}: {shown(name)}" for name in names]
        entries: list[Json] = []
        for name, label in zip(names, labels, strict=True):
            entry = self.metadata.get(name)
            if not isinstance(entry, dict):
                raise InputError(f"{label}: is {shown(entry)}, not an object; add its ids")
            entries.append(cast(Json, entry))
        ids = frame_ids(labels, entries, needed=True)
        assert ids is not None
        times = frame_times(labels, entries)
        if times is None and self.has_times:
            raise InputError(
                f"{labels[0]}: has no `time`, and other images have: add it, or remove all of "
                "them"
            )
        if times is None:
            moments = [entry.get(TIME, entry.get(WARP)) for entry in entries]
            whole = [
                whole_number(label, f"`{TIME}`", moment, 0, MAX_ID)
                for label, moment in zip(labels, moments, strict=True)
            ]
            times = torch.tensor(whole, dtype=torch.float32)
        return times, ids


class _Camera:
    """A camera file."""

    def __init__(self, folder: Path, name: str):
        file = folder / "camera" / f"{name}.json"
        self.label, self.content = str(file), read_json_object(file)
        width, height = self._numbers("image_size", 2)
        if not (1 <= width <= 20_000 and 1 <= height <= 20_000):
            raise InputError(
                f"{file}: `image_size` is {width:g}x{height:g}; give the image's pixels"
            )
        self.size = (int(width), int(height))

    @property
    def world_from_camera(self) -> Float[Tensor, "3 4"]:
        """In double precision, unchecked."""
        rows = self.content.get("orientation")
        if not isinstance(rows, list) or len(cast(list[Any], rows)) != 3:
            raise InputError(f"{self.label}: `orientation` is {shown(rows)}; give a 3×3 matrix")
        matrix = [self._list("`orientation`", row, 3) for row in cast(list[Any], rows)]
        rotation = torch.tensor(matrix, dtype=torch.float64).T
        center = torch.tensor(self._numbers("position", 3), dtype=torch.float64)
        return torch.cat([rotation, center[:, None]], dim=1)

    def calibration(self, width: int, height: int) -> Calibration:
        """The calibration for an image of this size, a smaller copy. InputError."""
        across, down = width / self.size[0], height / self.size[1]
        (focal,) = self._list("`focal_length`", [self.content.get("focal_length")], 1)
        (aspect,) = self._list(
            "`pixel_aspect_ratio`", [self.content.get("pixel_aspect_ratio", 1)], 1
        )
        if self.content.get("skew"):
            raise InputError(
                f"{self.label}: `skew` is {shown(self.content['skew'])}, which is not "
                "supported; undistort the images first"
            )
        x, y = self._numbers("principal_point", 2)
        k1, k2, k3 = self._numbers("radial_distortion", 3, [0, 0, 0])
        # Older files have the second name.
        key = "tangential_distortion"
        key = key if key in self.content else "tangential"
        p1, p2 = self._numbers(key, 2, [0, 0])
        lens = Lens.of("FULL_OPENCV", {"k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2})
        return Calibration.checked(
            self.label, lens, (focal * across, focal * aspect * down), (x * across, y * down),
            (width, height),
        )  # fmt: skip

    def _numbers(self, key: str, count: int, default: Any = None) -> list[float]:
        return self._list(f"`{key}`", self.content.get(key, default), count)

    def _list(self, what: str, values: Any, count: int) -> list[float]:
        if not isinstance(values, list) or len(cast(list[Any], values)) != count:
            raise InputError(f"{self.label}: {what} is {shown(values)}; give {count} numbers")
        return [finite_number(self.label, what, each) for each in cast(list[Any], values)]


def _ids(file: Path, listing: Json, key: str) -> list[str]:
    """A list of names of images, or of numbers. InputError for names that lead elsewhere."""
    names = listing.get(key, [])
    if not isinstance(names, list):
        raise InputError(f"{file}: `{key}` is {shown(names)}, not a list; correct it")
    found: list[str] = []
    for name in cast(list[Any], names):
        whole = isinstance(name, int) and not isinstance(name, bool)
        known = shown(name) if whole else name
        if not isinstance(known, str) or not known or Path(known).name != known:
            raise InputError(f"{file}: `{key}` has {shown(name)}, which names no image")
        found.append(known)
    return found


def _image(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        file = folder / f"{name}{ending}"
        if file.is_file():
            return file
    raise InputError(
        f"{folder}: has no image {shown(name)}, which {LISTING} names: add it, or remove its "
        "name"
    )


def _image_folder(path: Path) -> Path:
    """The folder of `rgb` with the largest images."""
    found = {
        int(folder.name[:-1]): folder
        for folder in sorted((path / IMAGES).glob("*x"))
        if folder.name[:-1].isdecimal() and any(map(is_image_file, folder.glob("*")))
    }
    if not found:
        raise InputError(
            f"{path}: has no images in rgb/1x, rgb/2x and so on: add them; `unrender inspect` "
            "shows the cameras"
        )
    return found[min(found)]


def _ball(path: Path) -> Float[Tensor, "4"] | None:
    """Center of the scene and the radius that is scaled to 1, in double precision."""
    file = path / SCENE
    if not file.is_file():
        return None
    content = read_json_object(file)
    scale = finite_number(str(file), "`scale`", content.get("scale"))
    center = content.get("center")
    if not isinstance(center, list) or len(cast(list[Any], center)) != 3:
        raise InputError(f"{file}: `center` is {shown(center)}; give three numbers")
    if not 0 < scale < math.inf:
        raise InputError(f"{file}: `scale` is {scale:g}; give a positive number")
    xyz = [finite_number(str(file), "`center`", each) for each in cast(list[Any], center)]
    return torch.tensor([*xyz, 1 / scale], dtype=torch.float64)


def _recentred(ball: Float[Tensor, "4"] | None) -> Float[Tensor, "4"] | None:
    """The ball in single precision, about the origin of the data set that is being read."""
    if ball is None:
        return None
    return torch.cat([recentred_points(ball[None, :3])[0], ball[3:]]).float()


def _points(path: Path) -> Float[Tensor, "points 3"] | None:
    """Points of the scene that do not move, in double precision."""
    file = path / POINTS
    if not file.is_file():
        return None
    points = torch.from_numpy(read_npy(file)).double()
    if points.ndim != 2 or points.shape[1] != 3 or not bool(points.isfinite().all()):
        raise InputError(f"{file}: has shape {tuple(points.shape)}: give finite [points, 3]")
    return points

"""Captures of moving scenes as Nerfies and HyperNeRF have them.

Park et al., https://github.com/google/nerfies#datasets. `dataset.json` lists the images of both
splits, `metadata.json` has the numbers of each image's appearance, moment (`warp_id`, in
HyperNeRF `time_id`) and camera, `camera/ID.json` a camera, and `rgb/Nx/ID.png` the image,
reduced N times. `scene.json` has the center of the scene, and the factor by which methods scale
it; `points.npy`, if it is there, has points that do not move.

Cameras have `orientation`, the rotation camera_from_world in OpenCV axes, `position`, their
center, and the lens of OpenCV with three radial coefficients.
"""

import math
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs
from unrender.data.splits import check_split, hold_out
from unrender.data.undistort import note_undistortion, pinhole_cameras, view_names
from unrender.data.validate import check_poses
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import Json, finite_number, read_json_object, shown, whole_number
from unrender.files.arrays import read_npy
from unrender.geometry.lenses import Lens
from unrender.geometry.undistortion import Calibration, pinhole_views
from unrender.imaging.files import ENDINGS

LISTING, METADATA, SCENE = "dataset.json", "metadata.json", "scene.json"
MOMENT = ("warp_id", "time_id")
"""Keys of the moment: of Nerfies, of HyperNeRF."""


def is_nerfies(path: Path) -> bool:
    """Whether a folder is such a capture."""
    return (path / LISTING).is_file() and (path / "camera").is_dir()


def load_nerfies(path: Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """The training and validation views of a folder.

    Without validation views, every N-th training view is held out. Moments are the cameras'
    `times`. Raises InputError.
    """
    file = path / LISTING
    listing = read_json_object(file)
    metadata = read_json_object(path / METADATA)
    train, test = (_ids(file, listing, key) for key in ("train_ids", "val_ids"))
    if not train:
        train = [each for each in _ids(file, listing, "ids") if each not in set(test)]
    if not train:
        raise InputError(f"{file}: `train_ids` names no image: name some")
    known = _Capture(path, metadata, options)
    name = path.resolve().name
    views = known.views(train)
    if not test:
        check_split(str(path), options)
        return hold_out(name, views, options.hold_out)
    return Dataset(name, views, known.views(test))


class _Capture:
    """A folder, from which some of the images are read."""

    def __init__(self, path: Path, metadata: Json, options: LoadOptions):
        self.path, self.metadata, self.options = path, metadata, options
        self.images = _image_folder(path)
        self.ball, self.points = _ball(path), _points(path)

    def views(self, names: list[str]) -> Views:
        """The views of these images. InputError."""
        files = [self._image(name) for name in names]
        cameras = [_Camera(self.path / "camera" / f"{name}.json") for name in names]
        photographs = Photographs.of(str(self.path), files, [each.size for each in cameras])
        sizes = photographs.sizes.each(len(names)).tolist()
        lens_views = [
            pinhole_views(camera.label, camera.calibration(*size))
            for camera, size in zip(cameras, sizes, strict=True)
        ]
        poses = check_poses(
            torch.stack([camera.world_from_camera for camera in cameras]),
            lambda index: cameras[index].label,
        )
        ids = self._numbers(names)
        found = pinhole_cameras(poses, lens_views, ids.deformation.float())
        images = photographs.read(tuple(names), self.options, lens_views).with_opaque_alpha()
        note_undistortion(str(self.path), lens_views)
        return Views(
            found.with_sizes(images.sizes),
            store=images,
            names=view_names(tuple(f"{name}.png" for name in names), lens_views),
            points=self.points,
            ball=self.ball,
            ids=ids,
        )

    def _image(self, name: str) -> Path:
        for ending in ENDINGS:
            file = self.images / f"{name}{ending}"
            if file.is_file():
                return file
        raise InputError(
            f"{self.images}: has no image {shown(name)}, which {LISTING} names: add it, or "
            "remove its name"
        )

    def _numbers(self, names: list[str]) -> ViewIds:
        """The numbers of images in metadata.json; those that are not there are 0."""
        rows: list[tuple[int, int, int]] = []
        for name in names:
            label = f"{self.path / METADATA}: {shown(name)}"
            entry = self.metadata.get(name)
            if not isinstance(entry, dict):
                raise InputError(f"{label}: is {shown(entry)}, not an object; add its numbers")
            numbers = cast(Json, entry)
            moments = [numbers[key] for key in MOMENT if key in numbers]
            if not moments:
                raise InputError(f"{label}: has neither `warp_id` nor `time_id`: add one")
            rows.append(
                (
                    whole_number(label, "`appearance_id`", numbers.get("appearance_id", 0)),
                    whole_number(label, "`warp_id`", moments[0]),
                    whole_number(label, "`camera_id`", numbers.get("camera_id", 0)),
                )
            )
        return ViewIds(*torch.tensor(rows).unbind(1))


class _Camera:
    """A camera file."""

    def __init__(self, file: Path):
        self.label, self.content = str(file), read_json_object(file)
        width, height = self._numbers("image_size", 2)
        if not (0 < width <= 20_000 and 0 < height <= 20_000):
            raise InputError(
                f"{file}: `image_size` is {width:g}x{height:g}; give the image's pixels"
            )
        self.size = (width, height)

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
        """Of an image of this size, which is the camera's reduced. InputError."""
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
    """A list of images. InputError for names that lead elsewhere."""
    names = listing.get(key, [])
    if not isinstance(names, list):
        raise InputError(f"{file}: `{key}` is {shown(names)}, not a list; correct it")
    for name in cast(list[Any], names):
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise InputError(f"{file}: `{key}` has {shown(name)}, which names no image")
    return cast(list[str], names)


def _image_folder(path: Path) -> Path:
    """The least reduced images of `rgb`."""
    found = {
        int(folder.name[:-1]): folder
        for folder in sorted((path / "rgb").glob("*x"))
        if folder.is_dir() and folder.name[:-1].isdecimal()
    }
    if not found:
        raise InputError(f"{path}: has no images in rgb/1x, rgb/2x and so on: add them")
    return found[min(found)]


def _ball(path: Path) -> Float[Tensor, "4"] | None:
    """Center of the scene, and the radius that the scene's scale makes 1."""
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
    return torch.tensor([*xyz, 1 / scale])


def _points(path: Path) -> Float[Tensor, "points 3"] | None:
    """Points of the scene that do not move."""
    file = path / "points.npy"
    if not file.is_file():
        return None
    points = torch.from_numpy(read_npy(file)).float()
    if points.ndim != 2 or points.shape[1] != 3 or not bool(points.isfinite().all()):
        raise InputError(f"{file}: has shape {tuple(points.shape)}: give finite [points, 3]")
    return points

"""COLMAP models (cameras, images and points, as text or binary) and their images.

https://colmap.github.io/format.html. A model is three files, cameras, images and points3D, with
the ending .txt or .bin. COLMAP's poses are camera-from-world; its cameras have OpenCV axes, and
the center of the upper left pixel is at (0.5, 0.5), as here. Times of the images, which COLMAP
does not know, are in times.json beside the folder of images.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.formats.colmap_models import find_colmap, note_others
from unrender.data.formats.frame_times import read_times
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.origin import recentred_points
from unrender.data.photographs import Photographs
from unrender.data.undistort import note_undistortion, pinhole_cameras, view_names
from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import check_file, read_bytes, read_text, whole_number
from unrender.files.data_folder import DataFolder
from unrender.geometry.lenses import LENS_MODELS, Lens
from unrender.geometry.poses import invert, so3_from_quaternion
from unrender.geometry.undistortion import Calibration, pinhole_views
from unrender.imaging.files import ENDINGS
from unrender.notes import note

Numbers = tuple[int | float, ...]
MAX_TEXT_BYTES = 1_000_000_000


@dataclass(frozen=True)
class ColmapCamera:
    model: str
    """A name in `LENS_MODELS`."""
    width: int
    height: int
    parameters: dict[str, float]


@dataclass(frozen=True)
class ColmapImage:
    name: str
    camera: int
    pose: Numbers
    """Quaternion (w, x, y, z) and translation of camera_from_world."""


@dataclass(frozen=True)
class ColmapModel:
    folder: Path
    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]
    """Sorted by name."""
    points: Float[Tensor, "points 3"]
    """In double precision."""
    point_colors: Float[Tensor, "points 3"]


def load_colmap(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """The model's images, undistorted and opaque, with its points. Raises InputError."""
    folder = find_colmap(path)
    if folder is None:
        raise InputError(
            f"{path}: has no cameras.bin or cameras.txt: give a folder with a COLMAP model"
        )
    note_others(path, folder)
    model = read_colmap(folder)
    if not model.images:
        raise InputError(f"{folder}: the model has no images: run the reconstruction again")
    model, files = _with_files(path, model, options)
    names = tuple(each.name for each in model.images)
    photographs = Photographs.of(
        str(path),
        files,
        [_camera_size(folder, model, each) for each in model.images],
    )
    lens_views = [
        pinhole_views(f"{folder}: image {each.name}", _calibration(folder, model, each, *size))
        for each, size in zip(
            model.images, photographs.sizes.each(len(names)).tolist(), strict=True
        )
    ]
    times = read_times(_above(path, folder), names)
    cameras = pinhole_cameras(invert(_poses(folder, model.images)), lens_views, times)
    images = photographs.read(names, options, lens_views)
    note_undistortion(str(folder), lens_views)
    return Views(
        cameras.with_sizes(images.sizes),
        store=images.with_opaque_alpha(),
        names=view_names(names, lens_views),
        points=recentred_points(model.points).float(),
        point_colors=model.point_colors,
    )


def read_colmap(folder: Path) -> ColmapModel:
    """Read the model in a folder. Raises InputError."""
    binary = (folder / "cameras.bin").is_file()
    ending = "bin" if binary else "txt"
    files = [folder / f"{name}.{ending}" for name in ("cameras", "images", "points3D")]
    for file in files[:2]:
        check_file(file, "a model consists of cameras, images and points3D")
    if binary:
        cameras = _cameras_binary(_Reader(files[0]))
        images = _images_binary(_Reader(files[1]))
        points = _points_binary(_Reader(files[2])) if files[2].is_file() else []
    else:
        cameras = _cameras_text(files[0])
        images = _images_text(files[1])
        points = _points_text(files[2]) if files[2].is_file() else []
    table = torch.tensor(points, dtype=torch.float64).view(-1, 6)
    if not bool(table.float().isfinite().all()):
        raise InputError(f"{files[2]}: contains NaN or Inf: triangulate again")
    return ColmapModel(
        folder, cameras, sorted(images, key=lambda each: each.name), table[:, :3],
        table[:, 3:].float() / 255,
    )  # fmt: skip


def _with_files(
    path: Path, model: ColmapModel, options: LoadOptions
) -> tuple[ColmapModel, list[Path]]:
    """The model without the images whose files are missing, and the files of the others.

    They are in `images`, any `images*` or `path` itself, or, if `path` is the model's own
    folder, in those of the folders above. Smaller copies, in `images_4` and the like, may have
    other endings. Raises InputError if more than half are missing.
    """
    places = [
        place
        for base in _above(path, model.folder)
        for place in (*sorted(each for each in base.glob("images*") if each.is_dir()), base)
    ]
    best, most = DataFolder(path, options.outside), -1
    found: list[Path | None] = []
    for place in places:
        folder = DataFolder(place, options.outside)
        here = [folder.find(str(path), "the image", i.name, ENDINGS) for i in model.images]
        count = sum(file is not None for file in here)
        if count > most:
            best, most, found = folder, count, here
        if count == len(here):
            break
    missing = [i.name for i, file in zip(model.images, found, strict=True) if file is None]
    if 2 * len(missing) > len(found):
        which = (
            "the model's" if len(missing) == len(found) else f"{len(missing)} of the model's"
        )
        raise InputError(
            f"{path}: {which} {len(found)} images, such as {missing[0]!r:.80}, are in no "
            "folder images*: copy the images, or give the model of the images that are there"
        )
    if missing:
        note(
            f"{path}: {len(missing)} of the model's {len(found)} images are missing, such as "
            f"{missing[0]:.80}: they are left out"
        )
    best.tell(path)
    kept = [i for i, file in zip(model.images, found, strict=True) if file is not None]
    return replace(model, images=kept), [file for file in found if file is not None]


def _above(path: Path, folder: Path) -> tuple[Path, ...]:
    """Folders with what belongs to a model: also those above, where `path` is the model's."""
    return (path, *path.resolve().parents[:2]) if path == folder else (path,)


def _poses(folder: Path, images: list[ColmapImage]) -> Float[Tensor, "images 3 4"]:
    """camera_from_world [R | t] of the images."""
    numbers = torch.tensor([each.pose for each in images], dtype=torch.float64)
    quaternions, shifts = numbers.split([4, 3], dim=1)
    lengths = quaternions.norm(dim=1)
    for k in (~((lengths > 0.1) & (lengths < 10))).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{folder}: image {images[k].name}: the quaternion has length {lengths[k]:.3g}, "
            "not 1"
        )
    poses = torch.cat([so3_from_quaternion(quaternions), shifts[..., None]], dim=2)
    return check_poses(
        poses, lambda k: f"{folder}: image {images[k].name}", camera_from_world=True
    )


def _camera_size(folder: Path, model: ColmapModel, image: ColmapImage) -> tuple[int, int]:
    """The image size that the intrinsics refer to. InputError."""
    camera = model.cameras.get(image.camera)
    label = f"{folder}: image {image.name}"
    if camera is None:
        raise InputError(
            f"{label}: refers to camera {image.camera}, which the model lacks: copy it again"
        )
    if camera.width <= 0 or camera.height <= 0:
        raise InputError(
            f"{label}: its camera has {camera.width}x{camera.height} pixels: copy it again"
        )
    return camera.width, camera.height


def _calibration(
    folder: Path, model: ColmapModel, image: ColmapImage, width: int, height: int
) -> Calibration:
    """The camera of an image of `width`×`height`, which may be downscaled."""
    camera = model.cameras[image.camera]
    label = f"{folder}: image {image.name}"
    scale_x, scale_y = width / camera.width, height / camera.height
    if camera.model == "EQUIRECTANGULAR":
        return Calibration.panorama(width, height)
    given = camera.parameters
    fx, fy = (given.get(name, given.get("f", 0.0)) for name in ("fx", "fy"))
    return Calibration.checked(
        label,
        Lens.of(camera.model, given),
        (fx * scale_x, fy * scale_y),
        (given["cx"] * scale_x, given["cy"] * scale_y),
        (width, height),
    )


class _Reader:
    """Sequential reader of a binary file, which never reads beyond its end."""

    def __init__(self, path: Path):
        self.path, self.at, self.data = path, 0, read_bytes(path)

    def unpack(self, layout: str) -> Numbers:
        size = struct.calcsize("<" + layout)
        if self.at + size > len(self.data):
            raise InputError(
                f"{self.path}: is truncated within an entry, at byte {len(self.data)}: "
                "copy it again"
            )
        found = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return found

    def integers(self, layout: str) -> tuple[int, ...]:
        return tuple(int(value) for value in self.unpack(layout))

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise InputError(
                f"{self.path}: a name is not terminated: the file is truncated: copy it again"
            )
        found = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return found

    def count(self, least: int) -> int:
        """A number of entries of at least `least` bytes, checked against the file's size."""
        (number,) = self.integers("Q")
        if number * least > len(self.data) - self.at:
            raise InputError(
                f"{self.path}: should have {number} entries, more than its "
                f"{len(self.data)} bytes can hold: copy it again"
            )
        return number

    def skip(self, size: int) -> None:
        """Skip `size` bytes, which `count` has checked to exist."""
        self.at += size


def _cameras_binary(reader: _Reader) -> dict[int, ColmapCamera]:
    names = {model.number: name for name, model in LENS_MODELS.items()}
    found: dict[int, ColmapCamera] = {}
    for _ in range(reader.count(24)):
        identity, number, width, height = reader.integers("iiQQ")
        name = names.get(number, f"number {number}")
        parameters = _parameters(reader.path, name)
        values = reader.unpack(f"{len(parameters)}d")
        found[identity] = ColmapCamera(
            name, width, height, dict(zip(parameters, values, strict=True))
        )
    return found


def _parameters(path: Path, name: str) -> tuple[str, ...]:
    if name not in LENS_MODELS:
        raise InputError(
            f"{path}: camera model {name:.40} is not supported: undistort the images with "
            "COLMAP's image_undistorter"
        )
    return LENS_MODELS[name].parameters


def _images_binary(reader: _Reader) -> list[ColmapImage]:
    found: list[ColmapImage] = []
    for _ in range(reader.count(4 + 56 + 4 + 1 + 8)):
        reader.unpack("i")
        pose = reader.unpack("7d")
        (camera,) = reader.integers("i")
        name = reader.text()
        reader.skip(24 * reader.count(24))  # Keypoints: x, y and the index of the 3D point.
        found.append(ColmapImage(name, camera, pose))
    return found


def _points_binary(reader: _Reader) -> list[Numbers]:
    found: list[Numbers] = []
    for _ in range(reader.count(8 + 24 + 3 + 8 + 8)):
        reader.unpack("Q")
        found.append((*reader.unpack("3d"), *reader.unpack("3B")))
        reader.unpack("d")
        reader.skip(8 * reader.count(8))  # The images that observe it.
    return found


def _lines(path: Path) -> list[list[str]]:
    """The whitespace-separated fields of each line, without comments; empty lines are kept."""
    text = read_text(path, MAX_TEXT_BYTES)
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def _numbers(path: Path, fields: list[str], count: int) -> list[float]:
    try:
        found = [float(field) for field in fields[:count]]
    except ValueError as error:
        raise InputError(f"{path}: {str(error)[:120]}: correct it") from error
    if len(found) < count:
        raise InputError(f"{path}: a line has {len(found)} of {count} numbers: copy it again")
    return found


def _cameras_text(path: Path) -> dict[int, ColmapCamera]:
    found: dict[int, ColmapCamera] = {}
    for fields in filter(None, _lines(path)):
        name = fields[1] if len(fields) > 1 else ""
        parameters = _parameters(path, name)
        identity, width, height, *values = _numbers(
            path, [fields[0], *fields[2:]], 3 + len(parameters)
        )
        label = str(path)
        found[whole_number(label, "a camera's number", identity)] = ColmapCamera(
            name,
            whole_number(label, "a camera's width", width),
            whole_number(label, "a camera's height", height),
            dict(zip(parameters, values, strict=True)),
        )
    return found


def _images_text(path: Path) -> list[ColmapImage]:
    """Two lines per image, of which the second, the keypoints, may be empty."""
    found: list[ColmapImage] = []
    lines = _lines(path)
    while lines and not lines[-1]:
        lines.pop()
    for fields in lines[::2]:
        if len(fields) < 10:
            raise InputError(f"{path}: a line has {len(fields)} of 10 fields: copy it again")
        numbers = _numbers(path, fields[1:9], 8)
        camera = whole_number(str(path), "an image's camera", numbers[7])
        found.append(ColmapImage(" ".join(fields[9:]), camera, tuple(numbers[:7])))
    return found


def _points_text(path: Path) -> list[Numbers]:
    return [tuple(_numbers(path, fields[1:7], 6)) for fields in filter(None, _lines(path))]

"""Sequences of RealEstate10K and ACID: lists of cameras, and folders of frames.

Zhou et al., "Stereo Magnification" (2018), https://google.github.io/realestate10k/; Liu et al.,
"Infinite Nature" (2021), https://infinite-nature.github.io/. A list has a line with the video's
URL, then one line per frame: its time in microseconds, fx fy cx cy as fractions of the image's
width and height, two numbers that are not used, and camera-from-world [R | t] by rows, in
OpenCV axes. The data sets come without images: these are frames of the video, named by their
time.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import check_cameras, check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import read_head, read_text, whole_number
from unrender.files.data_folder import is_hidden
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import invert
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.files import is_image_file
from unrender.notes import note

FIELDS = 19
FRAME_FOLDERS = ("frames", "images", "videos")
"""Names of folders with the frames of a sequence, or with a folder for each sequence."""


def is_realestate10k(path: Path) -> bool:
    """Whether a file looks like a RealEstate10K list of cameras."""
    lines = read_head(path, 4096).splitlines()
    return len(lines) > 1 and lines[0].startswith(b"http") and len(lines[1].split()) == FIELDS


def read_realestate10k(path: Path, width: int, height: int) -> tuple[Cameras, tuple[int, ...]]:
    """Cameras for images of this size, and their times in microseconds. InputError."""
    listed = _read(path)
    return listed.cameras(path, ImageSizes.of([(width, height)])), listed.times


def load_realestate10k(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """The frames of a list, or of the only list in a folder, opaque, in the list's order.

    A frame's name is its time in microseconds, or in whole milliseconds. Frames that are not
    there are left out, with a note. If no name is a time of the list, and there are as many
    frames as lines, they are taken in the order of their names, with a note. Raises InputError
    if there are no frames, or if their names do not tell which is which.
    """
    file = path if path.is_file() else _only_list(path)
    folder = find_frames(file)
    if folder is None:
        raise InputError(without_frames(file))
    listed = _read(file)
    rows, photographs = _matched(file, folder, listed.times)
    files = Photographs.of(str(folder), photographs)
    cameras = listed.select(rows).cameras(file, files.sizes)
    names = tuple(each.name for each in photographs)
    images = files.read(names, options).with_opaque_alpha()
    return Views(cameras.with_sizes(images.sizes), store=images, names=names)


def lists_of_cameras(folder: Path) -> list[Path]:
    """The lists of RealEstate10K in a folder, by name."""
    found = (each for each in folder.glob("*.txt") if not is_hidden(each.name))
    return sorted(each for each in found if each.is_file() and is_realestate10k(each))


def find_frames(file: Path) -> Path | None:
    """The folder with the frames of a list of cameras, or None if there is none.

    Those of `train/ID.txt` are in the first of these folders that has images: `train/ID`,
    `train/frames/ID`, `frames/ID`, `frames/train/ID` and `../frames/train/ID`, or `images` or
    `videos` for `frames`. If the list is alone in its folder, they may also be in
    `train/frames` and in `train` itself.
    """
    stem, parent = file.stem, file.absolute().parent
    above, top, split = parent.parent, parent.parent.parent, parent.name
    places = [parent / stem]
    for name in FRAME_FOLDERS:
        places += [parent / name / stem, above / name / stem]
        places += [above / name / split / stem, top / name / split / stem]
    found = next((place for place in places if _has_images(place)), None)
    if found is None:
        inside = [*(parent / name for name in FRAME_FOLDERS), parent]
        found = next((place for place in inside if _has_images(place)), None)
        if found is not None and lists_of_cameras(parent) != [parent / file.name]:
            return None
    return found


def without_frames(file: Path) -> str:
    """What is said about a list of cameras whose frames are not found."""
    return (
        f"{file}: lists cameras of RealEstate10K, whose frames are not found: put them in the "
        f"folder {file.stem} beside it, each named by its time, such as 52553000.png"
    )


def _only_list(folder: Path) -> Path:
    """The list of cameras in a folder. InputError if there is none or several."""
    found = lists_of_cameras(folder)
    if not found:
        raise InputError(f"{folder}: has no list of cameras of RealEstate10K: give its file")
    if len(found) > 1:
        raise InputError(
            f"{folder}: has {len(found)} sequences of RealEstate10K: give one of them, such as "
            f"{found[0]}"
        )
    return found[0]


@dataclass(frozen=True)
class _Listed:
    """What a list says about each frame."""

    times: tuple[int, ...]
    world_from_camera: Float[Tensor, "frames 3 4"]
    lens: Float[Tensor, "frames 4"]
    """fx fy cx cy, as fractions of the image's width and height."""

    def select(self, rows: list[int]) -> "_Listed":
        times = tuple(self.times[k] for k in rows)
        return _Listed(times, self.world_from_camera[rows], self.lens[rows])

    def cameras(self, path: Path, sizes: ImageSizes) -> Cameras:
        """The cameras for images of these sizes. InputError."""
        scale = sizes.rows.double().expand(len(self.lens), 2)
        matrix = torch.zeros(len(self.lens), 3, 3, dtype=torch.float64)
        matrix[:, [0, 1], [0, 1]] = self.lens[:, :2] * scale
        matrix[:, :2, 2] = self.lens[:, 2:] * scale
        matrix[:, 2, 2] = 1
        if not bool(matrix.isfinite().all() & (self.lens[:, :2] > 0).all()):
            raise InputError(f"{path}: has a focal length that is not positive: correct it")
        cameras = Cameras(self.world_from_camera, matrix.float(), sizes=sizes)
        check_cameras(str(path), cameras)
        return cameras


def _read(path: Path) -> _Listed:
    """Read a list. InputError."""
    rows: list[list[float]] = []
    numbers: list[int] = []
    for number, line in enumerate(read_text(path).splitlines()[1:], start=2):
        if not line.strip():
            continue
        try:
            row = [float(field) for field in line.split()]
        except ValueError as error:
            raise InputError(
                f"{path}: line {number}: {str(error)[:120]}: correct it"
            ) from error
        if len(row) != FIELDS:
            raise InputError(
                f"{path}: line {number} has {len(row)} of {FIELDS} numbers: copy it again"
            )
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise InputError(f"{path}: lists no frames: copy it again")
    table = torch.tensor(rows, dtype=torch.float64)
    pose = table[:, 7:].view(-1, 3, 4)
    world_from_camera = check_poses(invert(pose), lambda k: f"{path}: line {numbers[k]}")
    times = tuple(
        whole_number(f"{path}: line {number}", "the time", row[0])
        for number, row in zip(numbers, rows, strict=True)
    )
    return _Listed(times, world_from_camera, table[:, 1:5])


def _matched(file: Path, folder: Path, times: tuple[int, ...]) -> tuple[list[int], list[Path]]:
    """Rows of the list whose frames are there, and these frames. InputError."""
    photographs = list_photographs(folder)
    by_number: dict[int, Path] = {}
    for each in photographs:
        # More digits are no time, and Python refuses thousands of them.
        if each.stem.isdecimal() and len(each.stem) <= 18:
            other = by_number.setdefault(int(each.stem), each)
            if other != each:
                raise InputError(
                    f"{each}: has the same time as {other.name}: remove one of the two"
                )
    found = [by_number.get(time) for time in times]
    if not any(found):  # Milliseconds, rounded down or to the nearest.
        rounded = [(time // 1000, (time + 500) // 1000) for time in times]
        found = [by_number.get(low, by_number.get(high)) for low, high in rounded]
    if not any(found):
        if len(photographs) != len(times):
            raise InputError(
                f"{folder}: none of its {len(photographs)} images is named by a time of "
                f"{file.name}, such as {photographs[0].name}: name each by its time in "
                f"microseconds, such as {times[0]}.png"
            )
        note(
            f"{folder}: images are not named by the times of {file.name}, and are as many: "
            f"they are taken in the order of their names, beginning with {photographs[0].name}"
        )
        return list(range(len(times))), photographs
    missing = [time for time, path in zip(times, found, strict=True) if path is None]
    if missing:
        note(
            f"{folder}: {len(missing)} of the {len(times)} frames of {file.name} are not "
            f"there, such as {missing[0]}: they are left out"
        )
    rows = [k for k, path in enumerate(found) if path is not None]
    return rows, [path for path in found if path is not None]


def _has_images(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(is_image_file(each) for each in folder.iterdir())
    except OSError:
        return False

"""RealEstate10K's lists of cameras: a line with the video's URL, then one line per frame.

Zhou et al., "Stereo Magnification" (2018), https://google.github.io/realestate10k/. A frame has
its time in microseconds, fx fy cx cy as fractions of the image's width and height, two zeros,
and camera-from-world [R | t] by rows, in OpenCV axes.
"""

from pathlib import Path

import torch

from unrender.data.validate import check_cameras, check_poses
from unrender.errors import InputError
from unrender.files import read_head, read_text, whole_number
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import invert

FIELDS = 19


def is_realestate10k(path: Path) -> bool:
    """Whether a file looks like a RealEstate10K list of cameras."""
    lines = read_head(path, 4096).splitlines()
    return len(lines) > 1 and lines[0].startswith(b"http") and len(lines[1].split()) == FIELDS


def read_realestate10k(path: Path, width: int, height: int) -> tuple[Cameras, tuple[int, ...]]:
    """Cameras for images of this size, and their times in microseconds. InputError."""
    lines = read_text(path).splitlines()[1:]
    rows: list[list[float]] = []
    for number, line in enumerate(filter(str.strip, lines), start=2):
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
    if not rows:
        raise InputError(f"{path}: lists no frames: copy it again")
    table = torch.tensor(rows, dtype=torch.float64)
    pose = table[:, 7:].view(-1, 3, 4)
    world_from_camera = check_poses(invert(pose), lambda k: f"{path}: line {k + 2}")
    matrix = torch.zeros(len(rows), 3, 3, dtype=torch.float64)
    matrix[:, 0, 0], matrix[:, 1, 1] = table[:, 1] * width, table[:, 2] * height
    matrix[:, 0, 2], matrix[:, 1, 2] = table[:, 3] * width, table[:, 4] * height
    matrix[:, 2, 2] = 1
    if not bool(matrix.isfinite().all() & (table[:, 1:3] > 0).all()):
        raise InputError(f"{path}: has a focal length that is not positive: correct it")
    times = tuple(
        whole_number(f"{path}: line {k + 2}", "the time", row[0]) for k, row in enumerate(rows)
    )
    cameras = Cameras(world_from_camera, matrix.float(), width, height)
    check_cameras(str(path), cameras)
    return cameras, times

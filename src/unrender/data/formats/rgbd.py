"""Color and depth images of depth cameras.

A scan in Open3D's layout: color/ and depth/ with equal numbers of images, in the order of
their names; trajectory.log with, for each image, a line of numbers and world_from_camera by
rows (OpenCV axes); and a .json with width, height and the intrinsic matrix by columns. Open3D
and TUM have pixel centers at integers, so half a pixel is added to the principal point.

Depth images are 16-bit grayscale: distances along the optical axis, in units of
1 / `depth_scale` scene units (1000 for millimeters, 5000 in the TUM benchmark), and 0 where
nothing was measured. In `Views`, depths are distances along the ray. Choi, Zhou, Koltun,
"Robust Reconstruction of Indoor Scenes" (2015); Sturm et al., "A Benchmark for the Evaluation
of RGB-D SLAM Systems" (2012).
"""

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import check_cameras, check_poses, check_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import (
    finite_number,
    read_json_object,
    read_text,
    system_errors_told,
    whole_number,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.imaging.files import read_uint16


@system_errors_told()
def load_scan(path: Path, depth_scale: float = 1000.0) -> Views:
    """All frames of a folder, opaque, with depths along the ray. Raises InputError."""
    colors, depths = (list_photographs(path / name) for name in ("color", "depth"))
    poses = read_trajectory(path / "trajectory.log")
    if not len(colors) == len(depths) == len(poses):
        raise InputError(
            f"{path}: has {len(colors)} color images, {len(depths)} depth images and "
            f"{len(poses)} poses: give equal numbers"
        )
    lenses = sorted(path.glob("*.json"))
    if len(lenses) != 1:
        raise InputError(
            f"{path}: has {len(lenses)} .json files: keep the one with the intrinsics"
        )
    matrix, width, height = _intrinsics(lenses[0])
    cameras = Cameras(poses, matrix.expand(len(poses), 3, 3), width, height)
    check_cameras(str(lenses[0]), cameras)
    views = _views(str(path), cameras, colors, depths, depth_scale)
    check_views(str(path), views)
    return views


def read_depth(path: Path, depth_scale: float) -> Float[Tensor, "height width"]:
    """Depths along the optical axis in scene units, 0 where none was measured. InputError."""
    if not 0 < depth_scale < float("inf"):
        raise InputError(
            f"depth_scale {depth_scale}: give the number of depth units per scene unit, above 0"
        )
    return read_uint16(path) / depth_scale


def read_trajectory(path: Path) -> Float[Tensor, "cameras 3 4"]:
    """world_from_camera of each frame, in the order of the file. Raises InputError."""
    text = read_text(path)
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows or len(rows) % 5:
        raise InputError(
            f"{path}: has {len(rows)} lines; it must have 5 for each pose: copy it again"
        )
    try:
        table = [[float(word) for word in row] for k, row in enumerate(rows) if k % 5]
        matrices = torch.tensor(table, dtype=torch.float64).view(-1, 4, 4)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: is not a list of 4x4 matrices ({' '.join(str(error).split())[:80]})"
        ) from error
    return check_poses(matrices, lambda k: f"{path}: pose {k}")


def ray_distances(
    cameras: Cameras, depths: Float[Tensor, "cameras height width"]
) -> Float[Tensor, "cameras height width"]:
    """Convert depths along the optical axis to distances along each pixel's ray."""
    count = len(cameras)
    index = torch.arange(count, device=cameras.device)[:, None, None]
    grid = pixel_grid(cameras.width, cameras.height).to(depths)
    rays = cameras.rays(index.expand(depths.shape), grid.expand(count, -1, -1, -1))
    return depths / (rays.directions * cameras.rotations[:, None, None, :, 2]).sum(-1)


def _views(
    source: str, cameras: Cameras, colors: list[Path], depths: list[Path], scale: float
) -> Views:
    names = tuple(path.name for path in colors)
    images = Photographs.of(source, colors).read(names).with_opaque_alpha()
    size = cameras.height, cameras.width
    for path, (width, height) in zip(colors, images.sizes.each(len(colors)), strict=True):
        if (height, width) != size:
            raise InputError(
                f"{path}: is {width}x{height}; the camera has {size[1]}x{size[0]} pixels"
            )
    maps: list[Float[Tensor, "height width"]] = []
    for path in depths:
        found = read_depth(path, scale)
        if tuple(found.shape) != size:
            raise InputError(
                f"{path}: is {found.shape[1]}x{found.shape[0]}; the camera has "
                f"{size[1]}x{size[0]} pixels: register the depth to the color images"
            )
        maps.append(found)
    return Views(
        cameras,
        store=images,
        names=names,
        depths=ray_distances(cameras, torch.stack(maps)),
    )


def _intrinsics(path: Path) -> tuple[Float[Tensor, "3 3"], int, int]:
    values = read_json_object(path)
    numbers = values.get("intrinsic_matrix")
    if not isinstance(numbers, list) or len(cast(list[Any], numbers)) != 9:
        raise InputError(f"{path}: `intrinsic_matrix` must be nine numbers, by columns")
    entries = [
        finite_number(str(path), "an entry of intrinsic_matrix", value)
        for value in cast(list[Any], numbers)
    ]
    matrix = torch.tensor(entries).view(3, 3).T.clone()
    width, height = (
        whole_number(str(path), key, values.get(key), 1, 1 << 20) for key in ("width", "height")
    )
    if min(matrix[0, 0], matrix[1, 1]) <= 0 or matrix[2, 2] != 1:
        raise InputError(
            f"{path}: needs a positive image size and positive focal lengths: correct it"
        )
    # Open3D's pixel centers are at integers, ours at +0.5.
    matrix[:2, 2] += 0.5
    return matrix, width, height

"""LLFF captures: a folder of photographs and poses_bounds.npy.

Mildenhall et al., "Local Light Field Fusion" (2019), https://github.com/Fyusion/LLFF. Each
row has a 3×5 matrix and the nearest and farthest depth. The columns of the matrix are the
camera's down, right and back axes in the world, its center, and (height, width, focal length)
of the full-size images.
"""

from pathlib import Path

import torch

from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files.arrays import read_npy
from unrender.geometry.cameras import Cameras

POSES = "poses_bounds.npy"


def load_llff(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """All views, opaque, from `images` or else the largest `images_*`. Raises InputError."""
    file = path / POSES
    rows = read_npy(file)
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise InputError(f"{file}: has shape {rows.shape}; it must be [views, 17]")
    table = torch.from_numpy(rows).double()
    matrices = table[:, :15].view(-1, 3, 5)
    down, right, back = matrices[:, :, :3].unbind(2)
    # Their rotations are inexact: project to the nearest rotation.
    u, _, v = torch.linalg.svd(
        torch.stack([right, down, -back], dim=2).nan_to_num(0.0, 0.0, 0.0)
    )
    pose = torch.cat([u @ v, matrices[:, :, 3:4]], dim=2)
    off = (u @ v - torch.stack([right, down, -back], dim=2)).abs().amax((1, 2))
    for k in (~(off < 0.05)).nonzero()[:1, 0].tolist():
        raise InputError(f"{file}: view {k}: the axes are not a rotation: write the file again")
    world_from_camera = check_poses(pose, lambda k: f"{file}: view {k}")
    photographs = list_photographs(_image_folder(path))
    if len(photographs) != len(rows):
        raise InputError(
            f"{path}: has {len(photographs)} images but {file.name} {len(rows)} poses: "
            "give equal numbers"
        )
    full_height, full_width, focal = (matrices[:, k, 4].float() for k in range(3))
    if not bool(((full_width > 0) & (full_height > 0) & (focal > 0)).all()):
        raise InputError(
            f"{file}: an image size or focal length is not positive: write the file again"
        )
    files = Photographs.of(
        str(path),
        photographs,
        list(zip(full_width.tolist(), full_height.tolist(), strict=True)),
    )
    sizes = files.sizes
    width = sizes.rows[:, 0].float()
    cameras = Cameras.from_focal(world_from_camera, focal * width / full_width, sizes=sizes)
    names = tuple(each.name for each in photographs)
    images = files.read(names, options).with_opaque_alpha()
    return Views(cameras.with_sizes(images.sizes), store=images, names=names)


def _image_folder(path: Path) -> Path:
    """`images`, or else `images_N` with the smallest N."""
    found = [each for each in path.glob("images*") if each.is_dir()]
    if not found:
        raise InputError(f"{path}: has no folder `images` or `images_N`: add the images")

    def reduction(folder: Path) -> int:
        end = folder.name.removeprefix("images").removeprefix("_")
        return int(end) if end.isdecimal() else (1 if not end else 1 << 30)

    return min(found, key=reduction)

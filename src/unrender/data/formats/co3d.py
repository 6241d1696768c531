"""Sequences in the convention of CO3D and PyTorch3D: imgs/ and poses/, one file per frame.

Reizenstein et al., "Common Objects in 3D" (2021). A pose is 16 numbers: R by rows, T, focal
lengths and principal point, in the convention of `unrender.geometry.pytorch3d`. For sequences
with annotations, as CO3D is published, see `co3d_annotations`.
"""

from pathlib import Path

import torch
from torch import Tensor

from unrender.data.formats.co3d_annotations import find_annotations, load_annotated
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.origin import recentred_points
from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import border_share, check_poses, with_background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import check_file
from unrender.files.arrays import read_npy
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.pytorch3d import from_pytorch3d

MASKED = 0.95
"""Share of black border pixels from which frames count as masked."""


def is_co3d(path: Path) -> bool:
    """Whether a folder is a sequence in one of the two layouts."""
    poses = (path / "imgs").is_dir() and (path / "poses").is_dir()
    return poses or find_annotations(path) is not None


def load_co3d(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """All frames; by default cut out where their borders are black, as CO3D's masks leave them.

    Sequences with annotations are cut out by their masks. Raises InputError if a pose is
    missing or invalid.
    """
    if not (path / "imgs").is_dir() and find_annotations(path) is not None:
        return load_annotated(path, options)
    photographs = list_photographs(path / "imgs")
    files = [path / "poses" / f"{each.stem}.npy" for each in photographs]
    for file in files:
        check_file(file, "every image needs a pose")
    vectors = [read_npy(file) for file in files]
    for file, vector in zip(files, vectors, strict=True):
        if vector.shape != (16,):
            raise InputError(f"{file}: has shape {vector.shape}; it must be 16 numbers")
    numbers = torch.stack([torch.from_numpy(vector).double() for vector in vectors])
    files_of_images = Photographs.of(str(path), photographs)
    sizes = files_of_images.sizes
    cameras = concatenate(
        [
            from_pytorch3d(
                row[:, :9].view(1, 3, 3), row[:, 9:12], row[:, 12:14], row[:, 14:],
                *sizes[k],
            )
            for k, row in enumerate(numbers.split(1))
        ]
    )  # fmt: skip
    pose = check_poses(cameras.world_from_camera, lambda k: str(files[k]))
    if not bool((cameras.focal > 0).all()):
        raise InputError(f"{path}: a focal length is not positive: correct the poses")
    points, colors = _points(path)
    names = tuple(each.name for each in photographs)
    images, background = files_of_images.read(names, options), options.background
    if background == "auto" and border_share(images, 0.0) < MASKED:
        background = "opaque"
    images, behind = with_background(images, background)
    return Views(
        Cameras(pose, cameras.intrinsics.float(), sizes=sizes).with_sizes(images.sizes),
        background=behind,
        store=images,
        names=names,
        points=None if points is None else recentred_points(points).float(),
        point_colors=colors,
    )


def _points(path: Path) -> tuple[Tensor | None, Tensor | None]:
    """The sequence's point cloud and its colors, each None if the sequence has none."""
    file = next(iter(sorted((path / "points").glob("[!.]*.npy"))), None)
    if file is None:
        return None, None
    table = torch.from_numpy(read_npy(file)).float()
    if table.ndim != 2 or table.shape[1] not in (3, 6) or not bool(table.isfinite().all()):
        raise InputError(
            f"{file}: has shape {tuple(table.shape)}; it must be [points, 3 or 6], all finite"
        )
    return table[:, :3], table[:, 3:] if table.shape[1] == 6 else None

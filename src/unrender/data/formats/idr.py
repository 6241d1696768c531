"""Scenes of IDR and NeuS, such as DTU's: image/, mask/ and cameras*.npz.

Yariv et al., "Multiview Neural Surface Reconstruction" (2020). `world_mat_i` is view i's
projection matrix K [R | t], in pixels; `scale_mat_i` (not the intrinsics) is the similarity
from the frame of the object's unit bounding sphere to the world. The projection in the sphere's
frame is (world_mat @ scale_mat)[:3]. Masks become the images' alpha.
"""

import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files.arrays import Header, array_names, read_arrays
from unrender.geometry.cameras import Cameras
from unrender.geometry.projection import decompose_projection
from unrender.geometry.sizes import ImageSizes

FILES = ("cameras_sphere.npz", "cameras.npz")
"""In order of preference: the first has the object's bounding sphere."""


def find_idr(path: Path) -> Path | None:
    """The camera file in a folder, or None if there is none."""
    return next((path / name for name in FILES if (path / name).is_file()), None)


def load_idr(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """All views in the frame of the unit sphere, with masks as alpha. Raises InputError."""
    file = find_idr(path)
    if file is None:
        raise InputError(f"{path}: has neither {' nor '.join(FILES)}: give an IDR folder")
    world, scale = read_idr_matrices(file)
    photographs = list_photographs(path / "image")
    if len(photographs) != len(world):
        raise InputError(
            f"{path}: has {len(photographs)} images but {file.name} {len(world)} cameras: "
            "give equal numbers"
        )
    files = Photographs.of(str(path), photographs)
    cameras = idr_cameras(file, world, scale, files.sizes)
    names = tuple(each.name for each in photographs)
    images = files.read(names, options, masks=_masks(path / "mask", photographs))
    # The object's bounding sphere, if the file has it.
    ball = None if scale is None else torch.tensor([0.0, 0.0, 0.0, 1.0])
    return Views(
        cameras.with_sizes(images.sizes),
        store=images.with_opaque_alpha(),
        names=names,
        ball=ball,
    )


def _masks(folder: Path, photographs: list[Path]) -> list[Path] | None:
    """The mask of each image, in their order; None if there is no folder. InputError.

    Names are compared as numbers where they are (`000.png` is the mask of `000000.png`).
    """
    if not folder.is_dir():
        return None
    files = list_photographs(folder)
    if len(files) != len(photographs):
        raise InputError(
            f"{folder}: has {len(files)} masks for {len(photographs)} images: give one of "
            "equal size per image"
        )
    for mask, image in zip(files, photographs, strict=True):
        numbers = [path.stem for path in (mask, image) if path.stem.isdecimal()]
        if len(numbers) == 2 and numbers[0].lstrip("0") != numbers[1].lstrip("0"):
            raise InputError(
                f"{mask}: is in the place of the mask of {image.name}, and has another number: "
                "give one of equal number per image"
            )
    return files


def idr_cameras(
    file: Path,
    world: Float[Tensor, "views 4 4"],
    scale: Float[Tensor, "views 4 4"] | None,
    sizes: ImageSizes,
) -> Cameras:
    """Cameras in the unit sphere's frame or, without `scale`, the world's, for these sizes.

    The matrices refer to full-size images, whose sizes are not stored. They are taken to be the
    integer multiple of these sizes whose center is nearest to the principal points.
    """
    projection = (world if scale is None else world @ scale)[:, :3]
    try:
        matrix, pose = decompose_projection(projection)
    except ValueError as error:
        raise InputError(f"{file}: {error}: write the file again") from error
    pose = check_poses(pose, lambda k: f"{file}: camera {k}")
    matrix = matrix.float()
    middle = (matrix[:, 0, 2] / (sizes.rows[:, 0] / 2)).median().item()
    factor = max(1, round(middle))
    if not 0.6 < middle / factor < 1.6:
        x = matrix[:, 0, 2].median().item()
        raise InputError(
            f"{file}: the principal points lie at {x:.0f} pixels, and images are "
            f"{sizes[0][0]} wide: the cameras belong to other images"
        )
    matrix[:, :2] /= factor
    return Cameras(pose, matrix, sizes=sizes)


def read_idr_matrices(
    file: Path,
) -> tuple[Float[Tensor, "views 4 4"], Float[Tensor, "views 4 4"] | None]:
    """world_mat and scale_mat (None if the file has none) of all views, by index."""
    names = array_names(file)
    found = sorted(
        int(m[1]) for name in names if (m := re.fullmatch(r"world_mat_(\d{1,6})", name))
    )
    if not found or found != list(range(len(found))):
        raise InputError(
            f"{file}: has {len(found)} matrices world_mat_i, not numbered 0, 1, 2, … without "
            "gaps: write it again"
        )
    scaled = all(f"scale_mat_{k}" in names for k in found)
    kinds = ("world", "scale") if scaled else ("world",)
    matrix_names = tuple(f"{kind}_mat_{k}" for kind in kinds for k in found)
    arrays = read_arrays(file, matrix_names, _check)
    tables = [
        torch.stack([torch.from_numpy(arrays[f"{kind}_mat_{k}"]).double() for k in found])
        for kind in kinds
    ]
    for table in tables:
        if not bool(table.isfinite().all()):
            raise InputError(f"{file}: contains NaN or Inf: write it again")
    return tables[0], tables[1] if scaled else None


def _check(path: Path, headers: dict[str, Header]) -> None:
    for name, (shape, _) in headers.items():
        if shape != (4, 4):
            raise InputError(f"{path}: `{name}` has shape {shape}; it must be [4, 4]")

"""Films of moving scenes as Non-Rigid NeRF has them: `images` and precomputed.json.

Tretschk et al., https://github.com/facebookresearch/nonrigid_nerf. `poses` has a 3×5 matrix for
each image, in the order of their names: world_from_camera in OpenGL axes, and (height, width,
focal length). The images are the frames of a film, whose numbers are their times.
"""

from pathlib import Path

import torch

from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs, list_photographs
from unrender.data.validate import check_poses
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import read_json_object, shown
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl

FILE = "precomputed.json"


def is_nonrigid_nerf(path: Path) -> bool:
    """Whether a folder is such a film."""
    return (path / FILE).is_file() and (path / "images").is_dir()


def load_nonrigid_nerf(path: Path, options: LoadOptions = DEFAULTS) -> Views:
    """All frames, opaque. Raises InputError."""
    file = path / FILE
    poses = read_json_object(file).get("poses")
    try:
        matrices = torch.tensor(poses, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        matrices = torch.zeros(0)
    if matrices.ndim != 3 or matrices.shape[1:] != (3, 5) or not len(matrices):
        raise InputError(f"{file}: `poses` is {shown(poses)}; give [frames, 3, 5] numbers")
    photographs = list_photographs(path / "images")
    if len(photographs) != len(matrices):
        raise InputError(
            f"{path}: has {len(photographs)} images but {FILE} {len(matrices)} poses: give "
            "equal numbers"
        )
    high, wide, focal = (matrices[:, k, 4] for k in range(3))
    if not bool(((high > 0) & (wide > 0) & (focal > 0)).all()):
        raise InputError(
            f"{file}: an image size or focal length is not positive: write the file again"
        )
    world_from_camera = opencv_from_opengl(
        check_poses(matrices[:, :, :4], lambda k: f"{file}: frame {k}")
    )
    files = Photographs.of(
        str(path), photographs, list(zip(wide.tolist(), high.tolist(), strict=True))
    )
    sizes = files.sizes
    across = sizes.rows[:, 0] / wide
    cameras = Cameras.from_focal(world_from_camera, (focal * across).float(), sizes=sizes)
    frames = torch.arange(len(cameras))
    names = tuple(each.name for each in photographs)
    images = files.read(names, options).with_opaque_alpha()
    return Views(
        cameras.at_times(frames.float()).with_sizes(images.sizes),
        store=images,
        names=names,
        ids=ViewIds(frames, frames, torch.zeros_like(frames)),
    )

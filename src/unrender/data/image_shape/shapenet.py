"""ShapeNet models with the renderings of 3D-R2N2.

Choy et al., "3D-R2N2", ECCV 2016: https://arxiv.org/abs/1604.00449. A model's folder holds
`rendering/` with 00.png … 23.png and rendering_metadata.txt, one line per image: azimuth,
elevation and in-plane rotation in degrees, distance as a fraction of `DISTANCE_UNIT`, field of
view (which the renderer ignored: all images have that of `FOCAL`). The folder also holds
surface points (model_normal.xyz or model.xyz) or the mesh (model.obj), and optionally
model.binvox.

The files have y up and the front at −z; here z is up and the front at +y.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.image_shape.framing import framed_cameras, framed_images, squares_of_images
from unrender.data.image_shape.make_shapes import CELLS, FOCAL, POINTS
from unrender.data.image_shape.pairs import ImageShapeDataset, ImageShapePairs, split
from unrender.data.validate import check_cameras
from unrender.errors import InputError, one_line
from unrender.files import read_text, system_errors_told
from unrender.files.arrays import Array, check_numbers
from unrender.files.memory import check_memory
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import look_at
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import read_rgba, to_bytes
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.files.voxels import read_voxels
from unrender.shapes.sampling import sample_surface

METADATA = "rendering_metadata.txt"
DISTANCE_UNIT = 1.75
"""Distance of a camera from the origin for the fraction 1, in the models' units."""
HOLD_OUT = 5
"""Every fifth model is held out, as 3D-R2N2 does with 20% of them."""


def find_models(path: Path) -> list[Path]:
    """The model folders at or below `path`, sorted."""
    found = [path] if (path / "rendering" / METADATA).is_file() else []
    return found or sorted(each.parent.parent for each in path.rglob(f"rendering/{METADATA}"))


@system_errors_told()
def load_shapenet(path: Path, size: int) -> ImageShapeDataset:
    """All models below a folder, their images cropped to the object in `size`×`size` pixels.

    Every fifth model is held out. Raises InputError if files are missing or damaged, or if
    there are fewer than two models.
    """
    models = find_models(path)
    if len(models) < 2:
        raise InputError(
            f"{path}: has {len(models)} ShapeNet models (folders with rendering/{METADATA}): "
            "give at least 2, one to train on and one to test on"
        )
    every = min(HOLD_OUT, len(models))
    held_out = torch.arange(len(models)) % every == every - 1
    pairs = load_models(models, size)
    check_cameras(str(path), pairs.cameras)
    check_numbers(str(path), "copy the models again", points=pairs.points.float())
    return split(path.resolve().name, pairs, held_out)


def load_models(models: Sequence[Path], size: int) -> ImageShapePairs:
    """Load model folders. Raises InputError if files are missing or damaged."""
    count = sum(len(_metadata(model)) for model in models)
    label = f"{models[0].parent}: reading {count} images of {size}×{size}"
    check_memory(label, 4 * count * size**2, "give fewer models")
    images: list[Tensor] = []
    cameras: list[Cameras] = []
    surfaces: list[tuple[Tensor, Tensor]] = []
    voxels: list[Tensor] = []
    owner: list[int] = []
    for number, model in enumerate(models):
        points, normals = read_surface(model, number)
        low, high = points.amin(0), points.amax(0)
        middle, length = (low + high) / 2, float((high - low).max())
        if not length > 0:
            raise InputError(f"{model}: all surface points coincide; copy the model again")
        surfaces.append(((points - middle) / length, normals))
        seen = read_renderings(model)
        poses = seen[1].world_from_camera.clone()
        poses[:, :, 3] = (poses[:, :, 3] - middle) / length
        squares = squares_of_images(seen[0])
        images.append(to_bytes(unpremultiply(framed_images(seen[0], squares, size))))
        cameras.append(framed_cameras(seen[1].with_poses(poses), squares, size))
        owner += [number] * len(poses)
        if (model / "model.binvox").is_file():
            filled = read_voxels(model / "model.binvox").filled().numpy()
            if not filled.any():
                raise InputError(
                    f"{model}/model.binvox: has no occupied cell; remove the model"
                )
            voxels.append(torch.from_numpy(np.packbits(centred(filled, CELLS))))
    if voxels and len(voxels) < len(models):
        raise InputError(
            f"{len(models) - len(voxels)} of {len(models)} models have no model.binvox: give "
            "all of them one, or none"
        )
    return ImageShapePairs(
        torch.cat(images),
        concatenate(cameras),
        torch.tensor(owner),
        torch.stack([points for points, _ in surfaces]).half(),
        torch.stack([(127 * normals).round() for _, normals in surfaces]).to(torch.int8),
        torch.stack(voxels) if voxels else None,
        None,
        None,
        tuple(model.name for model in models),
    )


def read_renderings(model: Path) -> tuple[Float[Tensor, "images height width 4"], Cameras]:
    """The images, premultiplied, and their cameras in the model's units, z up."""
    views = _metadata(model)
    images = [read_rgba(model / "rendering" / f"{k:02d}.png") for k in range(len(views))]
    height, width = images[0].shape[:2]
    for k, image in enumerate(images):
        if image.shape[:2] != (height, width):
            raise InputError(
                f"{model}/rendering/{k:02d}.png: is {image.shape[1]}×{image.shape[0]} pixels, "
                f"00.png is {width}×{height}; copy the folder again"
            )
    azimuth, elevation, roll, share = views[:, :4].T
    azimuth, elevation, roll = (each.deg2rad() for each in (azimuth, elevation, roll))
    # 3D-R2N2 rotates the model by the azimuth and keeps the camera in place.
    ring = elevation.cos()
    place = torch.stack([ring * azimuth.cos(), -ring * azimuth.sin(), elevation.sin()], dim=1)
    eye = DISTANCE_UNIT * share[:, None] * place
    up = torch.tensor([0.0, 0.0, 1.0])
    poses = look_at(eye, torch.zeros_like(eye), up, roll)
    return torch.stack(images), Cameras.from_focal(poses, FOCAL * width, width, height)


def _metadata(model: Path) -> Float[Tensor, "images 5"]:
    path = model / "rendering" / METADATA
    views = torch.from_numpy(_read_table(path, (5,)))
    if not bool(((views[:, 3] > 0) & (views[:, 1].abs() <= 90)).all()):
        raise InputError(f"{path}: has a distance ≤ 0 or an elevation beyond ±90°; check it")
    return views


def read_surface(
    model: Path, seed: int = 0
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """`POINTS` surface points of a model and their normals, z up, in the model's units.

    Normals are 0 if the files have none. Raises InputError if no file has a surface.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, columns in (("model_normal.xyz", 6), ("model.xyz", 3)):
        if (model / name).is_file():
            table = torch.from_numpy(_read_table(model / name, (3, 6)))
            if table.shape[1] != columns:
                raise InputError(
                    f"{model / name}: has {table.shape[1]} numbers per line, not {columns}"
                )
            drawn = torch.randperm(len(table), generator=generator)
            table = table[drawn[torch.arange(POINTS) % len(table)]]
            normals = torch.zeros(POINTS, 3) if columns == 3 else table[:, 3:]
            return upright(table[:, :3]), upright(normalize(normals, dim=1))
    if (model / "model.obj").is_file():
        drawn = sample_surface(read_mesh(model / "model.obj", "z", False), POINTS, generator)
        return upright(drawn.points), upright(drawn.normals)
    raise InputError(
        f"{model}: has neither model_normal.xyz nor model.xyz nor model.obj: copy one of them "
        "beside rendering/"
    )


def upright(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Convert from y up with the front at −z to z up with the front at +y."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, -z, y], dim=-1)


def _read_table(path: Path, columns: tuple[int, ...]) -> Array:
    """A text file's table of finite numbers. Raises InputError if it is not one."""
    content = read_text(path)
    if not content.strip():
        raise InputError(f"{path}: is empty; copy it again")
    try:
        table = np.loadtxt(content.splitlines(), dtype=np.float32, ndmin=2, comments=None)
    except ValueError as error:
        raise InputError(
            f"{path}: is not a table of numbers ({one_line(error)[:120]}); copy it again"
        ) from error
    if table.shape[1] not in columns or not np.isfinite(table).all():
        raise InputError(
            f"{path}: has {table.shape[1]} numbers per line, or NaN or Inf; give "
            f"{' or '.join(map(str, columns))} finite numbers per line"
        )
    return table


def centred(filled: Bool[np.ndarray, "x y z"], cells: int) -> Bool[np.ndarray, "u v w"]:
    """Voxels with z up, the bounding box centered and its longest side filling the grid."""
    there = np.argwhere(filled)
    low, high = there.min(0), there.max(0) + 1
    middle, longest = (low + high) / 2, (high - low).max()
    at = (np.arange(cells) + 0.5) / cells - 0.5
    place = np.stack(np.meshgrid(at, at, at, indexing="ij"), axis=-1)
    # The position's coordinates in the file's frame, with y up.
    turned = np.stack([place[..., 0], place[..., 2], -place[..., 1]], axis=-1)
    index = np.floor(turned * longest + middle).astype(np.int64)
    inside = ((index >= 0) & (index < len(filled))).all(-1)
    i, j, k = np.where(inside[..., None], index, 0).transpose(3, 0, 1, 2)
    return inside & filled[i, j, k]

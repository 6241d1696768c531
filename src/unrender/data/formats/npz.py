"""Posed images in one .npz file, in the format of tiny_nerf_data.npz.

`images` [n, h, w, 3 or 4], floats in [0, 1] or uint8, straight alpha; `poses` [n, 4 or 3, 4],
world_from_camera in OpenGL axes; `focal`, one number or n, in pixels; optionally `background`
[3], the background color of images without alpha, and `intrinsics` [n, 3, 3], the cameras' K in
pixels with pixel centers at +0.5, which replaces `focal` where pixels are not square or the
principal point is not centered; and, of a moving scene, `times` [n] and `ids` [n, 3], the
numbers of each view's appearance, moment and camera.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.formats.frame_times import MAX_ID, rounded_times
from unrender.data.images import ImageStore
from unrender.data.validate import (
    Background,
    check_poses,
    with_background,
)
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import check_new
from unrender.files.arrays import Array, Header, read_arrays, write_arrays
from unrender.files.memory import check_memory
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
from unrender.imaging.color import premultiply, unpremultiply


@np.errstate(over="ignore", invalid="ignore")  # What overflows is refused later.
def load_npz(path: Path, background: Background = "auto") -> Views:
    """All views of the file. Raises InputError if it does not follow the format above."""
    optional = ("background", "intrinsics", "times", "ids")
    arrays = read_arrays(path, ("images", "poses", "focal"), _check_headers, optional)
    images, poses, focal = arrays["images"], arrays["poses"], arrays["focal"]
    num, height, width, _ = images.shape
    pose = opencv_from_opengl(
        check_poses(torch.from_numpy(poses), lambda index: f"{path}: pose {index}")
    )
    cameras = Cameras.from_focal(pose, _focal(path, focal, num), width, height)
    if "intrinsics" in arrays:
        cameras = replace(cameras, intrinsics=_intrinsics(path, arrays["intrinsics"]))
    if "times" in arrays:
        cameras = cameras.at_times(rounded_times(f"{path}: `times`", arrays["times"]))
    ids = _ids(path, arrays["ids"]) if "ids" in arrays else None
    store = ImageStore.of(_images(path, images))
    # Indices in the file, which a split into training and test views would lose.
    names = tuple(f"view {index}" for index in range(num))
    behind = None
    if store.channels == 3 and background == "auto" and "background" in arrays:
        behind = torch.from_numpy(arrays["background"]).float()
        if not bool(((behind >= 0) & (behind <= 1)).all()):
            raise InputError(f"{path}: `background` is {behind.tolist()}, not in [0, 1]")
    else:
        store, behind = with_background(store, background)
    return Views(cameras, background=behind, names=names, store=store, ids=ids)


def save_npz(path: Path, views: Views, overwrite: bool = False) -> None:
    """Write the views atomically.

    Raises InputError if the file exists and `overwrite` is off, or if it cannot be written.
    """
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: views are written as .npz; change the ending")
    if not overwrite:
        check_new(path)
    cameras = views.cameras
    if cameras.sizes.mixed:
        raise InputError(
            f"{path}: .npz holds images of one size, not {cameras.sizes}: name a folder instead"
        )
    plain = Cameras.from_focal(
        cameras.world_from_camera, cameras.focal, cameras.width, cameras.height
    )
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(views), 1, 4)
    poses = torch.cat([opengl_from_opencv(cameras.world_from_camera.cpu()), bottom], dim=1)
    arrays = {"images": _straight(views).cpu().numpy(), "poses": poses.numpy()}
    arrays["focal"] = cameras.focal.cpu().numpy()
    if (plain.intrinsics - cameras.intrinsics).abs().max() > 1e-3:
        arrays["intrinsics"] = cameras.intrinsics.cpu().numpy()
    if cameras.times is not None:
        arrays["times"] = cameras.times.cpu().numpy()
    if views.ids is not None:
        ids = views.ids.to("cpu")
        arrays["ids"] = torch.stack([ids.appearance, ids.deformation, ids.camera], 1).numpy()
    if views.background is not None:
        arrays["background"] = views.background.cpu().numpy()
    write_arrays(path, arrays)


def _straight(views: Views) -> Tensor:
    """Images with straight alpha: 8 bits where they are kept so, else floats."""
    store = views.store
    if store.pixels.dtype == torch.uint8 and not store.opaque:
        return torch.stack([store.stored(k) for k in range(len(store))])
    return unpremultiply(views.images) if views.has_alpha else views.images


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    shape, dtype = headers["images"]
    if len(shape) != 4 or shape[3] not in {3, 4}:
        raise InputError(f"{path}: `images` has shape {shape}; it must be [n, h, w, 3 or 4]")
    if min(shape) == 0:
        raise InputError(f"{path}: has zero views or pixels (`images` has shape {shape})")
    if dtype.kind != "f" and dtype != np.uint8:
        raise InputError(f"{path}: `images` has type {dtype}; it must be float32 or uint8")
    num, height, width, channels = shape
    check_memory(
        f"{path}: reading {num} images of {width}×{height}",
        num * height * width * channels * dtype.itemsize,
        "make the file of fewer or smaller images",
    )
    poses, pose_dtype = headers["poses"]
    if poses not in {(num, 4, 4), (num, 3, 4)} or pose_dtype.kind != "f":
        raise InputError(
            f"{path}: `poses` is {pose_dtype} of shape {poses}; "
            f"it must be floats of shape {(num, 4, 4)}"
        )
    focal, _ = headers["focal"]
    if focal not in {(), (1,), (num,)}:
        raise InputError(f"{path}: `focal` has shape {focal}; it must be one number or {num}")
    if "background" in headers and headers["background"][0] != (3,):
        raise InputError(
            f"{path}: `background` has shape {headers['background'][0]}; it must be 3 numbers"
        )
    if "times" in headers and headers["times"][0] != (num,):
        raise InputError(
            f"{path}: `times` has shape {headers['times'][0]}; it must be {num} numbers"
        )
    if "ids" in headers:
        rows, kind = headers["ids"]
        if rows != (num, 3) or kind.kind not in "iu":
            raise InputError(
                f"{path}: `ids` is {kind} of shape {rows}; it must be integers of shape "
                f"{(num, 3)}"
            )
    if "intrinsics" in headers:
        matrix, kind = headers["intrinsics"]
        if matrix != (num, 3, 3) or kind.kind != "f":
            raise InputError(
                f"{path}: `intrinsics` is {kind} of shape {matrix}; it must be floats of shape "
                f"{(num, 3, 3)}"
            )


def _intrinsics(path: Path, matrices: Array) -> Float[Tensor, "cameras 3 3"]:
    values = torch.from_numpy(matrices.astype(np.float32))
    upper = values[:, 1, 0].abs() + (values[:, 2] - torch.tensor([0.0, 0.0, 1.0])).abs().sum(1)
    right = values.isfinite().all(-1).all(-1) & (upper < 1e-6)
    right &= (values[:, 0, 0] > 0) & (values[:, 1, 1] > 0)
    for k in (~right).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{path}: `intrinsics` {k} is {values[k].tolist()}; it must be [[fx, skew, cx], "
            "[0, fy, cy], [0, 0, 1]] with positive fx and fy"
        )
    return values


def _focal(path: Path, focal: Array, num: int) -> Float[Tensor, "cameras"]:
    values = torch.from_numpy(focal.astype(np.float32)).expand(num).contiguous()
    for value in values[~(values.isfinite() & (values > 0))][:1].tolist():
        raise InputError(f"{path}: `focal` is {value}; it must be positive")
    return values


def _ids(path: Path, ids: Array) -> ViewIds:
    for value in ids[(ids < 0) | (ids > MAX_ID)][:1].tolist():
        raise InputError(f"{path}: `ids` has {value}; they must be from 0 to {MAX_ID}")
    return ViewIds(*torch.from_numpy(ids.astype(np.int64)).unbind(1))


def _images(path: Path, images: Array) -> Tensor:
    """8 bits as they are, or floats, premultiplied. InputError."""
    if images.dtype == np.uint8:
        return torch.from_numpy(images)
    values = torch.from_numpy(images.astype(np.float32, copy=False))
    low, high = values.min().item(), values.max().item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{path}: `images` contains NaN or Inf; make the file again")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"{path}: `images` has values from {low:.3g} to {high:.3g}; floats must be in "
            "[0, 1], and values up to 255 of type uint8"
        )
    values = values.clamp(0, 1)
    return premultiply(values) if values.shape[-1] == 4 else values

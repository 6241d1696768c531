"""Resampling of photographs into the pinhole views of their lenses."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.data.images import as_floats
from unrender.geometry.cameras import Cameras
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.undistortion import PinholeView
from unrender.kernels.runtime.jit import run_threads, shares, strict_jit
from unrender.notes import note

LensViews = Sequence[tuple[PinholeView, ...]]
"""The views that each photograph becomes: one, or several of a panorama."""
ROWS_AT_ONCE = 16
"""Rows whose source pixels are computed at once, in double precision, for little memory."""
NARROWED = 1.02
"""Zoom beyond which it is said that a view is narrower than its photograph."""


def pinhole_cameras(
    world_from_camera: Float[Tensor, "photographs 3 4"],
    views: LensViews,
    times: Float[Tensor, "photographs"] | None = None,
) -> Cameras:
    """The cameras of the views of photographs with these poses, and times if there are some."""
    poses: list[Tensor] = []
    for pose, some in zip(world_from_camera, views, strict=True):
        for view in some:
            if view.face:
                rotation = pose[:, :3] @ view.source_from_view.to(pose)
                poses.append(torch.cat([rotation, pose[:, 3:]], dim=1))
            else:
                poses.append(pose)
    every = [view for some in views for view in some]
    if times is not None:
        times = times[view_photographs(views)]
    return Cameras(
        torch.stack(poses),
        torch.stack([view.intrinsics for view in every]).to(world_from_camera),
        sizes=ImageSizes.of([view.size for view in every]),
        times=times,
    )


def view_photographs(views: LensViews) -> Int[Tensor, "views"]:
    """The index of the photograph that each view was made from."""
    counts = torch.tensor([len(some) for some in views])
    return torch.arange(len(views)).repeat_interleave(counts)


def view_names(names: Sequence[str], views: LensViews) -> tuple[str, ...]:
    """The photographs' names; the views of a panorama end in `_front`, `_right` and so on."""
    found: list[str] = []
    for name, some in zip(names, views, strict=True):
        path = PurePath(name)
        found += [
            path.with_stem(f"{path.stem}_{view.face}").as_posix() if view.face else name
            for view in some
        ]
    return tuple(found)


def note_undistortion(source: str, views: LensViews) -> None:
    """Say what fields of view photographs of wide lenses and panoramas are read with."""
    faces = [some for some in views if some[0].face]
    if faces:
        size = faces[0][0].size
        note(
            f"{source}: {len(faces)} of its images, panoramas, are read as six views each, of "
            f"90° and {size[0]}×{size[1]} pixels"
        )
    narrowed = [
        some
        for some in views
        if some[0].source.lens.projection not in ("perspective", "equirectangular")
        or some[0].zoom > NARROWED
    ]
    if narrowed:
        fov = pinhole_cameras(torch.eye(3, 4).expand(len(narrowed), 3, 4), narrowed).fov_range
        note(
            f"{source}: {len(narrowed)} of its images are undistorted to pinhole views of "
            f"{fov} horizontally, all of which their lenses see"
        )


class Resampling:
    """Resampling into one view, whose source pixels are computed once, for all photographs.

    It takes 8 bytes a pixel of the view.
    """

    def __init__(self, view: PinholeView) -> None:
        width, height = view.size
        self.wraps = view.source.lens.projection == "equirectangular"
        """Whether the right side of the photograph continues at its left side."""
        self.at: Float[Tensor, "height width 2"] = torch.empty(height, width, 2)

        def fill(rows: tuple[int, int]) -> None:
            self.at[slice(*rows)] = view.source_rows(*rows)

        parts = shares(height, -(-height // ROWS_AT_ONCE))
        # Each thread by itself: there is too little to do for several at each operation.
        run_threads(fill, parts, include_caller=False)

    def __call__(self, image: Tensor, out: Tensor | None = None) -> Tensor:
        """The view of a photograph [height, width, channels], by bilinear interpolation.

        RGB of 8 bits stays so; others become floats, premultiplied if they have alpha. The
        result is written into `out`, if it is of that kind.
        """
        if image.shape[-1] != 3:
            image = as_floats(image)
        shape = (*self.at.shape[:2], image.shape[-1])
        fits = out is not None and out.dtype == image.dtype and out.shape == shape
        made = out if out is not None and fits else torch.empty(shape, dtype=image.dtype)
        rounding = np.float32(0.5 if image.dtype == torch.uint8 else 0)
        _resample(
            image.contiguous().numpy(), self.at.numpy(), self.wraps, rounding, made.numpy()
        )
        return made


@strict_jit
@no_type_check
def _resample(image, at, wraps, rounding, made):
    one, half = np.float32(1), np.float32(0.5)
    height, width, channels = image.shape
    for i in range(at.shape[0]):
        for j in range(at.shape[1]):
            x, y = at[i, j, 0] - half, at[i, j, 1] - half
            left, top = np.int64(np.floor(x)), np.int64(np.floor(y))
            across, down = x - np.float32(left), y - np.float32(top)
            right, bottom = left + 1, top + 1
            if wraps:
                left, right = left % width, right % width
            else:
                left, right = min(max(left, 0), width - 1), min(max(right, 0), width - 1)
            top, bottom = min(max(top, 0), height - 1), min(max(bottom, 0), height - 1)
            for c in range(channels):
                above = np.float32(image[top, left, c]) * (one - across)
                above += np.float32(image[top, right, c]) * across
                below = np.float32(image[bottom, left, c]) * (one - across)
                below += np.float32(image[bottom, right, c]) * across
                made[i, j, c] = above * (one - down) + below * down + rounding

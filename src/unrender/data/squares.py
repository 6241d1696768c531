"""Central squares of photographs, which models of square images read."""

import dataclasses

import torch

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.resize import area_average

COMMON = 0.9
"""Share of the views whose squares all show as much as the common field of view."""


def square_focal(views: Views) -> float:
    """Focal length, per side of the square, of the field of view that most views contain."""
    focal = torch.stack([view.cameras.focal[0] / _shortest(view.cameras) for view in views])
    return float(focal.quantile(COMMON, interpolation="higher"))


def squares(views: Views, size: int, focal: float | None = None) -> Views:
    """The largest squares in the middle of the images, of `size` pixels a side.

    They are about the principal point, as far as the image reaches, and as small as gives them
    a focal length of `focal` per side, if given: of wider views they show the same. Only
    images, cameras and names are kept.
    """
    if not len(views):
        return views.resized(size, size)
    parts = [_square(view, size, focal) for view in views]
    return Views(
        concatenate([cameras for cameras, _ in parts]),
        torch.cat([image for _, image in parts]),
        views.background,
        views.names,
    )


def _square(view: Views, size: int, focal: float | None) -> tuple[Cameras, torch.Tensor]:
    cameras = view.cameras
    width, height, side = cameras.width, cameras.height, _shortest(cameras)
    if focal is not None:
        side = max(1, min(side, round(float(cameras.focal[0]) / focal)))
    if width == height == side:
        return cameras.resized(size, size), area_average(view.images, size, size)
    matrix = cameras.intrinsics.clone()
    left, top = (
        min(max(round(float(center) - side / 2), 0), extent - side)
        for center, extent in zip(matrix[0, :2, 2], (width, height), strict=True)
    )
    image = area_average(view.images[:, top : top + side, left : left + side], size, size)
    matrix[:, :2, 2] -= torch.tensor([left, top]).to(matrix)
    matrix[:, :2] *= size / side
    sizes = ImageSizes.of([(size, size)])
    return dataclasses.replace(cameras, intrinsics=matrix, sizes=sizes), image


def _shortest(cameras: Cameras) -> int:
    return min(cameras.width, cameras.height)

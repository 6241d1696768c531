"""Radial and tangential lens distortion, and its removal from images.

This is Brown's model, as in OpenCV and COLMAP:
https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class LensDistortion:
    """Coefficients of radial (k) and tangential (p) distortion; false if all of them are 0."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    def __bool__(self) -> bool:
        return any((self.k1, self.k2, self.p1, self.p2, self.k3))

    def distort(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Distort normalized coordinates (x/z, y/z) of the camera frame."""
        x, y = xy.unbind(-1)
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        return torch.stack(
            [
                x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
                y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
            ],
            dim=-1,
        )


def undistort_image(
    image: Float[Tensor, "height width channels"],
    intrinsics: Float[Tensor, "3 3"],
    lens: LensDistortion,
) -> Float[Tensor, "height width channels"]:
    """The image of a pinhole camera with the same intrinsics, by bilinear interpolation.

    Pixels outside the distorted image replicate its border.
    """
    return torch.cat(list(undistorted_rows(image.permute(2, 0, 1), intrinsics, lens)))


def undistorted_rows(
    planes: Float[Tensor, "channels height width"],
    intrinsics: Float[Tensor, "3 3"],
    lens: LensDistortion,
) -> Iterator[Float[Tensor, "_ width channels"]]:
    """The rows of `undistort_image`, a few at a time: their coordinates take much memory."""
    _, height, width = planes.shape
    focal = torch.stack([intrinsics[0, 0], intrinsics[1, 1]])
    center = intrinsics[:2, 2]
    whole = planes[None].contiguous()
    for rows in torch.arange(height).split(ROWS_AT_ONCE):
        y, x = torch.meshgrid(rows + 0.5, torch.arange(width) + 0.5, indexing="ij")
        ideal = (torch.stack([x, y], dim=-1) - center) / focal
        distorted = lens.distort(ideal) * focal + center
        grid = 2 * distorted / torch.tensor([width, height]) - 1
        found = torch.nn.functional.grid_sample(
            whole, grid[None], padding_mode="border", align_corners=False
        )
        yield found[0].permute(1, 2, 0)

"""Lenses that bend straight lines: from where an ideal pinhole sees to where the lens shows it.

Brown's model as OpenCV and COLMAP have it: https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """Radial and tangential distortion of one camera."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    def __bool__(self) -> bool:
        return any((self.k1, self.k2, self.p1, self.p2, self.k3))

    def distorted(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Where points x/z, y/z of the camera's frame appear."""
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


def undistorted_image(
    image: Float[Tensor, "height width channels"], intrinsics: Float[Tensor, "3 3"], lens: Lens
) -> Float[Tensor, "height width channels"]:
    """What a pinhole camera of the same intrinsics would have seen; bilinear.

    Where it looks beyond the image, the border goes on.
    """
    height, width, _ = image.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    focal = torch.stack([intrinsics[0, 0], intrinsics[1, 1]])
    center = intrinsics[:2, 2]
    ideal = (torch.stack([x, y], dim=-1) - center) / focal
    seen = lens.distorted(ideal) * focal + center
    place = 2 * seen / torch.tensor([width, height]) - 1
    found = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], place[None], padding_mode="border", align_corners=False
    )
    return found[0].permute(1, 2, 0).contiguous()

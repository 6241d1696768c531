"""Fusion of depth images: signed distances on a lattice, and colors of points on the surface.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images"
(SIGGRAPH 1996): along the ray of a pixel, the depth minus the distance from the camera is the
signed distance to what the pixel shows, positive in front of it. Cut off at the truncation
distance, it is averaged over all images that see a point.

Depths are distances along rays, in scene units: 0 where a pixel says nothing, and EMPTY where
its ray meets nothing, so that all of it is empty. Pixels are not interpolated, which would
blend across edges. Nothing is differentiable.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

EMPTY = 1e30
"""Depth of a ray that meets nothing."""


@dataclass(frozen=True)
class DepthImages:
    """Depth images and their cameras."""

    depth: Float[Tensor, "views height width"]
    projections: Float[Tensor, "views 3 4"]
    """From homogeneous world points to homogeneous pixels: K [R | t]."""
    centers: Float[Tensor, "views 3"]
    """The cameras' centers in the world."""

    def __len__(self) -> int:
        return len(self.depth)

    def to(self, device: torch.device | str) -> "DepthImages":
        return DepthImages(
            self.depth.to(device), self.projections.to(device), self.centers.to(device)
        )


def fuse_depth(
    images: DepthImages,
    low: Float[Tensor, "3"],
    step: float,
    size: tuple[int, int, int],
    truncation: float,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
    """Mean signed distances at the points low + step × (i, j, k), and the images in each mean.

    Distances are in units of the truncation, in [−1, 1]; 1 where no image sees the point, as in
    empty space. Images where the point is more than the truncation behind the surface do not
    see it. `step` and `truncation` are in scene units.
    """
    kernel = implementation(__name__, backend, images.depth)
    return kernel.fuse_depth(images, low, step, size, truncation)


def fuse_colors(
    images: DepthImages,
    rgba: Float[Tensor, "views height width 4"],
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    tolerance: float,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
    """Mean colors of surface points in all images that show them, and the sums of weights.

    `rgba` are the images' premultiplied colors, interpolated linearly between pixel centers;
    the means are not premultiplied, and 0 where the weight is. An image shows a point if its
    depth there differs from the point's by less than the tolerance, in scene units. Its weight
    is 1 there where the surface faces the camera, falls with the squared cosine of the angle to
    the unit normal, linearly with the difference, and with the opacity.
    """
    kernel = implementation(__name__, backend, points)
    return kernel.fuse_colors(images, rgba, points, normals, tolerance)

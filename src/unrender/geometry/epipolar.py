"""Epipolar geometry: where what a ray meets appears in other cameras' images.

The points o + d / s of a ray, with the inverse distance s, have the homogeneous pixels
K Rᵀ d + s K Rᵀ (o − c) in a camera with center c: a line from the vanishing point of the ray,
at s = 0, towards the epipole, the image of the ray's origin (Hartley and Zisserman, sec. 9.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays

LEAST_DEPTH = 1e-6
"""Depth of a point, per distance from the ray's origin, below which it is not projected."""


@dataclass(frozen=True)
class EpipolarLines:
    """Images of rays in cameras, as homogeneous pixels; the last axis is (x, y, w)."""

    vanishing_points: Float[Tensor, "*rays 3"]
    """Images of the points at infinity."""
    epipoles: Float[Tensor, "*rays 3"]
    """Images of the rays' origins, times the distance per unit."""

    def select(self, index: Int[Tensor, "chosen"]) -> "EpipolarLines":
        """Those of some rays, which the last axis but one counts."""
        return EpipolarLines(self.vanishing_points[..., index, :], self.epipoles[..., index, :])

    def pixels(
        self, inverse_distances: Float[Tensor, "... points"]
    ) -> tuple[Float[Tensor, "*rays points 2"], Bool[Tensor, "*rays points"]]:
        """Pixels (x, y) of points at these inverse distances along the rays, 0 at infinity.

        Also whether they are in front of the camera; pixels of other points are finite and
        meaningless.
        """
        toward = inverse_distances[..., None] * self.epipoles[..., None, :]
        found = self.vanishing_points[..., None, :] + toward
        ahead = found[..., 2] > LEAST_DEPTH
        return found[..., :2] / found[..., 2:].clamp_min(LEAST_DEPTH), ahead


def epipolar_lines(
    rays: Rays, cameras: Cameras, chosen: Int[Tensor, "groups views"]
) -> EpipolarLines:
    """The images of groups of rays, [groups, rays], in the cameras chosen for each group.

    The lines are [groups, views, rays]. Differentiable in the rays and in the cameras.
    """
    pose = cameras.world_from_camera[chosen]
    project = cameras.intrinsics[chosen] @ pose[..., :3].mT
    apart = rays.origins[:, None] - pose[:, :, None, :, 3]
    return EpipolarLines(rays.directions[:, None] @ project.mT, apart @ project.mT)


def fundamental_matrices(first: Cameras, second: Cameras) -> Float[Tensor, "cameras 3 3"]:
    """F of pairs of cameras: x₂ᵀ F x₁ = 0 for the pixels x₁ and x₂ of a point in each.

    F = [e₂]ₓ P₂ P₁⁺ (Hartley and Zisserman, eq. 9.1), of unit norm; 0 for cameras with one
    center. Pixels are homogeneous, (x, y, 1).
    """
    apart = (first.centers - second.centers)[..., None]
    turned = second.rotations.mT
    epipole = (second.intrinsics @ turned @ apart)[..., 0]
    homography = second.intrinsics @ turned @ first.rotations @ first.intrinsics.inverse()
    cross = torch.linalg.cross(epipole[:, :, None], homography, dim=1)
    return cross / cross.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]


def inside_images(
    pixels: Float[Tensor, "*batch points 2"], sizes: Float[Tensor, "*batch 2"]
) -> Bool[Tensor, "*batch points"]:
    """Whether pixels are in images of these widths and heights."""
    # A reduction over an axis of two would be slower.
    x, y = pixels.unbind(-1)
    width, height = sizes[..., None, :].unbind(-1)
    return (x >= 0) & (x <= width) & (y >= 0) & (y <= height)

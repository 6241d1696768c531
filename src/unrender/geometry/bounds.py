"""Bounds of a scene estimated from its cameras, and intersections of rays with a ball."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays

CENTERED = 0.05
"""Distance of the focus point from the origin, per distance of cameras from it, up to which a
scene counts as centered at the origin."""
PARALLEL = 1e-8
"""1 minus the length of the mean optical axis, up to which cameras count as parallel."""
PARALLEL_DEPTH = 10.0
"""Distance of the focus point of parallel cameras, which is unknown, per their extent."""


def are_parallel(cameras: Cameras) -> bool:
    """Whether several cameras all look in exactly one direction."""
    mean = cameras.rotations[:, :, 2].double().mean(0)
    return len(cameras) > 1 and float(1 - mean.norm()) < PARALLEL


def focus_point(cameras: Cameras) -> Float[Tensor, "3"]:
    """The least-squares intersection point of all optical axes.

    If the axes are nearly parallel this point is ill-defined, so a small regularization weight
    pulls it towards the mean of the cameras' centers. For exactly parallel cameras, as of a
    light field, it is in front of that mean, at 10 times the largest distance from it.
    """
    axes, centers = cameras.rotations[:, :, 2].double(), cameras.centers.double()
    middle = centers.mean(0)
    if are_parallel(cameras):
        reach = PARALLEL_DEPTH * (centers - middle).norm(dim=1).max()
        return (middle + reach * axes.mean(0)).to(cameras.world_from_camera.dtype)
    identity = torch.eye(3, dtype=axes.dtype, device=axes.device)
    across = identity - axes[:, :, None] * axes[:, None, :]
    weight = 1e-4 * len(cameras)
    matrix = across.sum(0) + weight * identity
    right = (across @ centers[..., None]).sum(0)[:, 0] + weight * middle
    return torch.linalg.solve(matrix, right).to(cameras.world_from_camera.dtype)


def scene_center(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point about which poses are described: the focus point, or the origin if near it.

    The origin is kept where the focus point is within 5% of the cameras' mean distance from
    it, as in data whose objects stand at the origin.
    """
    focus = focus_point(cameras)
    distance = (cameras.centers - focus).norm(dim=1).mean()
    return torch.zeros_like(focus) if focus.norm() <= CENTERED * distance else focus


def visible_ball(cameras: Cameras) -> tuple[Float[Tensor, "3"], float]:
    """Center and radius of a ball about the focus point that fills the cameras' images.

    The radius is the median over the cameras of distance × sine of the angle between the
    optical axis and the farthest corner of the image, so that the ray through it touches the
    ball. It is meaningful for cameras around an object, but not for captures that look
    outwards.
    """
    center = focus_point(cameras)
    distance = (cameras.centers - center).norm(dim=1)
    matrix = cameras.intrinsics.double()
    size = cameras.sizes.rows.to(matrix)
    # In units of horizontal pixels.
    corner = torch.maximum(matrix[:, :2, 2], size - matrix[:, :2, 2])
    corner[:, 1] *= matrix[:, 0, 0] / matrix[:, 1, 1]
    sine = torch.atan2(corner.norm(dim=1).to(cameras.focal), cameras.focal).sin()
    return center, float((distance * sine).median())


def framed_radius(cameras: Cameras, center: Float[Tensor, "3"]) -> float:
    """Radius of the ball about a center that fits in the images: a thing shown whole is in it.

    The median over the cameras of distance × sine of the angle between the optical axis and the
    nearest border of the image.
    """
    distance = (cameras.centers - center.to(cameras.centers)).norm(dim=1)
    matrix = cameras.intrinsics.double()
    size = cameras.sizes.rows.to(matrix)
    border = torch.minimum(matrix[:, :2, 2], size - matrix[:, :2, 2]).clamp_min(0)
    tangent = (border / torch.stack([matrix[:, 0, 0], matrix[:, 1, 1]], dim=1)).amin(1)
    return float((distance * tangent.atan().sin()).median())


def camera_extent(cameras: Cameras) -> float:
    """1.1 times the largest distance of a camera from the mean of all cameras' centers.

    The unit of the means' learning rate in Kerbl et al., "3D Gaussian Splatting" (2023). It is
    0 for a single camera.
    """
    centers = cameras.centers.detach()
    return 1.1 * float((centers - centers.mean(0)).norm(dim=1).max())


def camera_statistics(cameras: Cameras) -> tuple[tuple[float, float], tuple[float, float]]:
    """The cameras' ranges of distance from the origin and of elevation (radians) above z = 0.

    Each range is (lowest, highest). New cameras can be sampled from them.
    """
    centers = cameras.centers.detach().double()
    radius = centers.norm(dim=-1)
    elevation = torch.asin((centers[:, 2] / radius.clamp_min(1e-12)).clamp(-1, 1))
    assert math.isfinite(radius.sum().item()), "camera positions are finite"
    return (
        (radius.min().item(), radius.max().item()),
        (elevation.min().item(), elevation.max().item()),
    )


def intersect_ball(
    rays: Rays, center: Float[Tensor, "3"], radius: float, near: float
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Distances at which rays enter and leave a ball; two equal distances if they miss it.

    Both are at least `near`. Not differentiable.
    """
    rays = rays.detach()
    to_center = center - rays.origins
    along = (to_center * rays.directions).sum(-1)
    across = (to_center - along[:, None] * rays.directions).square().sum(-1)
    half = (radius**2 - across).clamp_min(0).sqrt()
    return (along - half).clamp_min(near), (along + half).clamp_min(near)


def view_counts(points: Float[Tensor, "points 3"], cameras: Cameras) -> Float[Tensor, "points"]:
    """Number of cameras in whose image each world point is."""
    counts = torch.zeros(len(points), device=points.device)
    for k in range(len(cameras)):
        camera = torch.full((len(points),), k, device=points.device)
        pixel, depth = cameras.project(camera, points)
        x, y = pixel.T
        width, height = cameras.sizes[k]
        counts += (depth > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return counts

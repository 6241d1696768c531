"""Where the scene is, by the cameras alone, and where rays pass through it."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays


def focus_point(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes, by least squares.

    Where the axes are (nearly) parallel it is far away or anywhere: then it is kept within the
    cameras' reach by a small weight that draws it to their mean.
    """
    axes, centers = cameras.rotations[:, :, 2].double(), cameras.centers.double()
    identity = torch.eye(3, dtype=axes.dtype, device=axes.device)
    across = identity - axes[:, :, None] * axes[:, None, :]
    weight = 1e-4 * len(cameras)
    matrix = across.sum(0) + weight * identity
    right = (across @ centers[..., None]).sum(0)[:, 0] + weight * centers.mean(0)
    return torch.linalg.solve(matrix, right).to(cameras.world_from_camera.dtype)


def visible_ball(cameras: Cameras) -> tuple[Float[Tensor, "3"], float]:
    """Centre and radius of a ball about the focus that holds what a corner of an image sees.

    The radius is the median over the cameras of distance × sine of half the diagonal field of
    view. Right for objects that cameras look at from around; a capture that looks outwards has
    no such ball.
    """
    center = focus_point(cameras)
    distance = (cameras.centers - center).norm(dim=1)
    half_diagonal = (cameras.width**2 + cameras.height**2) ** 0.5 / 2
    sine = torch.atan2(torch.full_like(cameras.focal, half_diagonal), cameras.focal).sin()
    return center, float((distance * sine).median())


def through_ball(
    rays: Rays, center: Float[Tensor, "3"], radius: float, least: float
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Where rays enter a ball and leave it; the same distance twice where they miss it.

    Nothing nearer than `least` counts. No gradient flows: where one looks is no part of what
    one sees.
    """
    rays = rays.detach()
    to_center = center - rays.origins
    along = (to_center * rays.directions).sum(-1)
    across = (to_center - along[:, None] * rays.directions).square().sum(-1)
    half = (radius**2 - across).clamp_min(0).sqrt()
    return (along - half).clamp_min(least), (along + half).clamp_min(least)


def view_counts(points: Float[Tensor, "points 3"], cameras: Cameras) -> Float[Tensor, "points"]:
    """How many cameras have each world point inside their image."""
    counts = torch.zeros(len(points), device=points.device)
    for k in range(len(cameras)):
        camera = torch.full((len(points),), k, device=points.device)
        pixel, depth = cameras.project(camera, points)
        x, y = pixel.T
        inside = (depth > 0) & (x >= 0) & (y >= 0)
        counts += inside & (x < cameras.width) & (y < cameras.height)
    return counts

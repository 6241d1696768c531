"""How images move while the camera does."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import compose, invert, se3_exp, se3_log

STEP = 1e-3
"""The part of the way over which motion is measured."""


def pixel_motion(
    camera: Cameras,
    toward: Float[Tensor, "3 4"],
    distance: Float[Tensor, "height width"],
) -> Float[Tensor, "height width 2"]:
    """Where pixels move, to first order, while a camera moves all the way to another pose.

    `toward` is world_from_camera there, and `distance` that of what pixels show, along their
    rays. The motion (x, y), in pixels, is that over a small part of the way, divided by this
    part.
    """
    start = camera.world_from_camera[0]
    height, width = distance.shape
    centers = pixel_grid(width, height).view(-1, 2).to(distance)
    first = torch.zeros(len(centers), dtype=torch.long, device=distance.device)
    rays = camera.rays(first, centers)
    points = rays.origins + distance.reshape(-1, 1) * rays.directions
    twist = se3_log(compose(invert(start.double()), toward.double()))
    places: list[Tensor] = []
    for step in (-STEP, STEP):
        pose = compose(start.double(), se3_exp(step * twist))
        moved = Cameras(pose[None], camera.intrinsics.double(), sizes=camera.sizes)
        places.append(moved.project(first, points.double())[0])
    motion = (places[1] - places[0]) / (2 * STEP)
    return motion.view(height, width, 2).to(distance)

"""Ray casting of unions of convex solids, by intersection with their planes."""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.builtin.families.solids import Union
from unrender.geometry.cameras import Cameras
from unrender.kernels.runtime.jit import jit
from unrender.rendering.renderer import Images

AMBIENT, KEY, SKY = 0.4, 0.5, 0.15
"""Intensities of ambient light, directional light and light from above."""
FAR = 1e30
"""Depth of empty pixels; kernels compiled with fast math do not support infinities."""


def render_shape(
    shape: Union, cameras: Cameras, light: Float[Tensor, "cameras 3"], supersample: int
) -> Images:
    """Render a shape with Lambertian shading and `supersample`² rays per pixel.

    `light` are unit vectors towards the light of each image. Cameras are outside the shape's
    bounding box and have no skew.
    """
    found = np.zeros((len(cameras), cameras.height, cameras.width, 4), np.float32)
    poses = cameras.world_from_camera.double().numpy()
    fine = cameras.resized(supersample * cameras.width, supersample * cameras.height)
    intrinsics, lights = fine.intrinsics.double().numpy(), light.double().numpy()
    for number in range(len(cameras)):
        _render(
            shape.planes,
            shape.first_plane,
            shape.boxes,
            shape.colors,
            poses[number],
            intrinsics[number],
            lights[number],
            supersample,
            found[number],
        )
    return torch.from_numpy(found)


@jit
@no_type_check
def _render(  # noqa: PLR0912 - the branches are those of one loop
    planes, first, boxes, colors, pose, intrinsics, light, supersample, image
):
    height, width = image.shape[0] * supersample, image.shape[1] * supersample
    depth = np.full((height, width), FAR)
    color = np.zeros((height, width, 3), np.float32)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
    count = planes.shape[0]
    # Planes in camera coordinates: the normal, and the camera's height above the plane.
    seen = np.empty((count, 4))
    shade = np.empty(count)
    for p in range(count):
        a, b, c, d = planes[p]
        for k in range(3):
            seen[p, k] = a * pose[0, k] + b * pose[1, k] + c * pose[2, k]
        seen[p, 3] = a * ox + b * oy + c * oz + d
        facing = max(a * light[0] + b * light[1] + c * light[2], 0.0)
        shade[p] = AMBIENT + KEY * facing + SKY * 0.5 * (1 + c)
    for solid in range(boxes.shape[0]):
        left, right, upper, lower = width * 1.0, 0.0, height * 1.0, 0.0
        for corner in range(8):
            x = boxes[solid, corner & 1, 0] - ox
            y = boxes[solid, (corner >> 1) & 1, 1] - oy
            z = boxes[solid, corner >> 2, 2] - oz
            far = pose[0, 2] * x + pose[1, 2] * y + pose[2, 2] * z
            u = fx * (pose[0, 0] * x + pose[1, 0] * y + pose[2, 0] * z) / far + cx
            v = fy * (pose[0, 1] * x + pose[1, 1] * y + pose[2, 1] * z) / far + cy
            left, right = min(left, u), max(right, u)
            upper, lower = min(upper, v), max(lower, v)
        for row in range(max(math.ceil(upper - 0.5), 0), min(math.floor(lower + 0.5), height)):
            dy = (row + 0.5 - cy) / fy
            for column in range(
                max(math.ceil(left - 0.5), 0), min(math.floor(right + 0.5), width)
            ):
                dx = (column + 0.5 - cx) / fx
                enter, leave, face = 0.0, depth[row, column], -1
                for p in range(first[solid], first[solid + 1]):
                    slope = seen[p, 0] * dx + seen[p, 1] * dy + seen[p, 2]
                    if slope < 0:
                        if -seen[p, 3] < enter * slope:
                            enter, face = -seen[p, 3] / slope, p
                    elif seen[p, 3] > 0:
                        leave = -1.0
                    elif slope > 0:
                        leave = min(leave, -seen[p, 3] / slope)
                    if enter >= leave:
                        break
                if face >= 0 and enter < leave:
                    depth[row, column] = enter
                    for k in range(3):
                        color[row, column, k] = min(shade[face] * colors[solid, k], 1.0)
    share = 1 / supersample**2
    for row in range(height):
        for column in range(width):
            if depth[row, column] < FAR:
                pixel = image[row // supersample, column // supersample]
                for k in range(3):
                    pixel[k] += share * color[row, column, k]
                pixel[3] += share

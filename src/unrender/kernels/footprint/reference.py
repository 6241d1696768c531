"""The definition, in torch."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.poses import so3_from_quaternion
from unrender.kernels.footprint import BLUR, LEAST_SHARE, MARGIN, NEAREST


def footprints(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Float[Tensor, "splats 7"]:
    """Mean 2, conic 3, distance, shrink."""
    rotation, center = world_from_camera[:, :3], world_from_camera[:, 3]
    local = (means - center) @ rotation
    visible = local[:, 2] > NEAREST
    z = torch.where(visible, local[:, 2], 1.0)
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    x, y = local[:, 0] / z, local[:, 1] / z
    pixels = torch.stack([fx * x + intrinsics[0, 2], fy * y + intrinsics[1, 2]], dim=1)
    # Far outside of the image the slope would grow without bounds.
    reach_x, reach_y = MARGIN * width / (2 * fx), MARGIN * height / (2 * fy)
    u, v = x.clamp(-reach_x, reach_x), y.clamp(-reach_y, reach_y)
    axes = (rotation.T @ so3_from_quaternion(quaternions)) * log_scales.exp()[:, None]
    across = fx / z[:, None] * (axes[:, 0] - u[:, None] * axes[:, 2])
    down = fy / z[:, None] * (axes[:, 1] - v[:, None] * axes[:, 2])
    a, b, c = across.square().sum(1), (across * down).sum(1), down.square().sum(1)
    sharp = (a * c - b * b).clamp_min(0)
    a, c = a + BLUR, c + BLUR
    determinant = a * c - b * b
    conics = torch.stack([c, -b, a], dim=1) / determinant[:, None]
    shrink = (sharp / determinant).clamp_min(LEAST_SHARE).sqrt()
    distance = local.norm(dim=1)
    return torch.cat([pixels, conics, distance[:, None], shrink[:, None]], dim=1)

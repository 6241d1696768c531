"""Projection of Gaussians in PyTorch: the definition."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.poses import so3_from_quaternion
from unrender.kernels.gaussian_projection import BLUR, MIN_RATIO, NEAR, ratio_limits


def project_gaussians(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Float[Tensor, "splats 7"]:
    """Columns: mean (2), conic (3), distance, compensation."""
    rotation, center = world_from_camera[:, :3], world_from_camera[:, 3]
    local = (means - center) @ rotation
    visible = local[:, 2] > NEAR
    z = torch.where(visible, local[:, 2], 1.0)
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    x, y = local[:, 0] / z, local[:, 1] / z
    pixels = torch.stack([fx * x + intrinsics[0, 2], fy * y + intrinsics[1, 2]], dim=1)
    # Clamped, because the Jacobian grows without bounds far outside the image.
    u = x.clamp(*ratio_limits(fx, intrinsics[0, 2], width))
    v = y.clamp(*ratio_limits(fy, intrinsics[1, 2], height))
    axes = (rotation.T @ so3_from_quaternion(quaternions)) * log_scales.exp()[:, None]
    row_x = fx / z[:, None] * (axes[:, 0] - u[:, None] * axes[:, 2])
    row_y = fy / z[:, None] * (axes[:, 1] - v[:, None] * axes[:, 2])
    a, b, c = row_x.square().sum(1), (row_x * row_y).sum(1), row_y.square().sum(1)
    sharp_determinant = (a * c - b * b).clamp_min(0)
    a, c = a + BLUR, c + BLUR
    determinant = a * c - b * b
    conics = torch.stack([c, -b, a], dim=1) / determinant[:, None]
    compensation = (sharp_determinant / determinant).clamp_min(MIN_RATIO).sqrt()
    distance = local.norm(dim=1)
    return torch.cat([pixels, conics, distance[:, None], compensation[:, None]], dim=1)

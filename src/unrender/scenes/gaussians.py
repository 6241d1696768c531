"""A scene as Gaussians in space: what they are, how a camera sees them, and their file.

Kerbl, Kopanas, Leimkühler, Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering" (2023), https://arxiv.org/abs/2308.04079. Numbers are kept as they are learned:
logarithms of scales, quaternions (w, x, y, z) of any length, logits of opacities, and spherical
harmonics' coefficients of colour less ½.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

BLUR = 0.3
"""Variance in squared pixels that is added to every splat: none falls between pixels."""
NEAREST = 0.01
"""Gaussians nearer than this to the camera's plane are not seen, in scene units."""
MOST_PARTS = 51
"""A Gaussian is divided in no more at once: the sum of alternating terms would lose digits."""
MARGIN = 1.3
"""Beyond the image's edge by this factor, the projection's slope is held (Kerbl et al.'s)."""


def rotations_of(quaternion: Float[Tensor, "splats 4"]) -> Float[Tensor, "splats 3 3"]:
    """Rotation matrices of (w, x, y, z), which need not have unit length."""
    w, x, y, z = normalize(quaternion, dim=1).T
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


@dataclass(frozen=True)
class Projected:
    """Gaussians as a camera sees them."""

    means: Float[Tensor, "splats 2"]
    """In pixels."""
    conics: Float[Tensor, "splats 3"]
    """(a, b, c) of the inverse covariance [[a, b], [b, c]]."""
    distances: Float[Tensor, "splats"]
    """From the camera's centre, in scene units."""
    shrink: Float[Tensor, "splats"]
    """√(|Σ| / |Σ + BLUR I|): what the added blur takes of a splat's weight (Yu et al.,
    "Mip-Splatting" (2024), eq. 8)."""
    visible: Bool[Tensor, "splats"]
    """In front of the camera."""


def project(
    means: Float[Tensor, "splats 3"],
    scales: Float[Tensor, "splats 3"],
    rotations: Float[Tensor, "splats 3 3"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Projected:
    """Each Gaussian's image if the projection was linear about its mean (EWA splatting).

    J W Σ Wᵀ Jᵀ for the camera's rotation W and the projection's derivative J (eq. 5).
    Differentiable in all of the numbers.
    """
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
    axes = (rotation.T @ rotations) * scales[:, None]
    across = fx / z[:, None] * (axes[:, 0] - u[:, None] * axes[:, 2])
    down = fy / z[:, None] * (axes[:, 1] - v[:, None] * axes[:, 2])
    a, b, c = across.square().sum(1), (across * down).sum(1), down.square().sum(1)
    sharp = (a * c - b * b).clamp_min(0)
    a, c = a + BLUR, c + BLUR
    determinant = a * c - b * b
    conics = torch.stack([c, -b, a], dim=1) / determinant[:, None]
    shrink = (sharp / determinant).clamp_min(1e-12).sqrt()
    return Projected(pixels, conics, local.norm(dim=1), shrink, visible)


def nearest_distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The root mean square distance of each point to its three nearest neighbours.

    That is how large a Gaussian at the point has to be to leave no hole. 0 of a lone point.
    """
    few = min(4, len(points))
    found = [
        torch.cdist(part, points).topk(few, largest=False).values
        for part in points.split(1 << 11)
    ]
    # The nearest is the point itself.
    return torch.cat(found)[:, 1:].square().mean(1).nan_to_num().sqrt()


def share_light(
    opacity: Float[Tensor, "splats"], parts: Int[Tensor, "splats"]
) -> tuple[Float[Tensor, "splats"], Float[Tensor, "splats"]]:
    """Each Gaussian as so many in one place: their opacity, and the factor on their scales.

    Together they cover what the one did at its centre, and as much in all (Kheradmand et al.,
    eq. 9): o' = 1 − (1 − o)^{1/N}, and the scales change by
    o / Σ_{i=1..N} Σ_{k=0..i−1} C(i−1, k) (−1)^k o'^{k+1} / √(k+1).
    """
    parts = parts.clamp_max(MOST_PARTS)
    new = 1 - (1 - opacity.double()) ** (1 / parts)
    # Σ_{i=1..N} C(i−1, k) = C(N, k+1), which leaves one sum.
    k = torch.arange(MOST_PARTS, dtype=torch.float64, device=opacity.device)
    n = parts[:, None].double()
    logs = torch.lgamma(n + 1) - torch.lgamma(k + 2) - torch.lgamma((n - k).clamp_min(1))
    terms = logs.exp() * (-1) ** k * new[:, None] ** (k + 1) / (k + 1).sqrt()
    total = torch.where(k < n, terms, 0.0).sum(1)
    return new.to(opacity.dtype), (opacity / total).to(opacity.dtype)

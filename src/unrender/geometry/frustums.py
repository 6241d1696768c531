"""Gaussian approximations of conical frustums, the volumes covered by pixels.

The radius of a ray's cone is `pixel_radius` at unit distance; a frustum is the part of the cone
between two distances. Barron et al., "Mip-NeRF" (2021), https://arxiv.org/abs/2103.13415.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Rays


@dataclass(frozen=True)
class Gaussians:
    """3D Gaussians."""

    mean: Float[Tensor, "*batch 3"]
    covariance: Float[Tensor, "*batch 3 3"]


def frustum_moments(
    starts: Float[Tensor, "*batch"],
    ends: Float[Tensor, "*batch"],
    radius: Float[Tensor, "*#batch"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Mean and variance along the axis, and variance perpendicular to it (mip-NeRF, eq. 7).

    The formulas use the midpoint μ and the half width δ of [starts, ends], which avoids
    cancellation. `radius` is that of the cone at unit distance.
    """
    midpoint, half = (starts + ends) / 2, (ends - starts) / 2
    square, half_square = midpoint.square(), half.square()
    whole = (3 * square + half_square).clamp_min(torch.finfo(starts.dtype).tiny)
    mean = midpoint + 2 * midpoint * half_square / whole
    along = (
        half_square / 3
        - 4 / 15 * half_square.square() * (12 * square - half_square) / whole.square()
    )
    across = radius.square() * (
        square / 4 + 5 / 12 * half_square - 4 / 15 * half_square.square() / whole
    )
    return mean, along, across


def frustum_gaussians(rays: Rays, edges: Float[Tensor, "rays edges"]) -> Gaussians:
    """One Gaussian per bin between a ray's edges (mip-NeRF, eqs. 8 to 10).

    The mean is o + μ d and the covariance σ_along² d dᵀ + σ_across² (I − d dᵀ), for unit
    directions d. The shapes are [rays, edges − 1, …].
    """
    starts, ends = edges[:, :-1], edges[:, 1:]
    mean, along, across = frustum_moments(starts, ends, rays.pixel_radius[:, None])
    directions = rays.directions[:, None]
    outer = directions[..., :, None] * directions[..., None, :]
    identity = torch.eye(3, dtype=edges.dtype, device=edges.device)
    covariance = (along - across)[..., None, None] * outer + across[..., None, None] * identity
    return Gaussians(rays.origins[:, None] + mean[..., None] * directions, covariance)

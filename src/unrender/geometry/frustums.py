"""Conical frustums, the volumes that pixels see, as Gaussians.

A ray's cone grows by `pixel_radius` a unit of distance; between two distances it is a frustum.
Barron et al., "Mip-NeRF" (2021), https://arxiv.org/abs/2103.13415.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Rays


@dataclass(frozen=True)
class Gaussians:
    """Normal distributions in space."""

    mean: Float[Tensor, "*batch 3"]
    covariance: Float[Tensor, "*batch 3 3"]


def frustum_moments(
    starts: Float[Tensor, "*batch"],
    ends: Float[Tensor, "*batch"],
    radius: Float[Tensor, "*#batch"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Mean and variance along the axis, and variance across it (mip-NeRF, eq. 7).

    Written in the middle μ and the half width δ of [starts, ends], where no digits cancel.
    `radius` is the cone's at unit distance.
    """
    middle, half = (starts + ends) / 2, (ends - starts) / 2
    square, half_square = middle.square(), half.square()
    whole = (3 * square + half_square).clamp_min(torch.finfo(starts.dtype).tiny)
    mean = middle + 2 * middle * half_square / whole
    along = (
        half_square / 3
        - 4 / 15 * half_square.square() * (12 * square - half_square) / whole.square()
    )
    across = radius.square() * (
        square / 4 + 5 / 12 * half_square - 4 / 15 * half_square.square() / whole
    )
    return mean, along, across


def frustum_gaussians(rays: Rays, edges: Float[Tensor, "rays edges"]) -> Gaussians:
    """One Gaussian for each bin between a ray's edges (mip-NeRF, eq. 8 to 10).

    Mean o + μ d and covariance σ_along² d dᵀ + σ_across² (I − d dᵀ), for unit directions d.
    Shapes: [rays, edges − 1, …].
    """
    starts, ends = edges[:, :-1], edges[:, 1:]
    mean, along, across = frustum_moments(starts, ends, rays.pixel_radius[:, None])
    directions = rays.directions[:, None]
    outer = directions[..., :, None] * directions[..., None, :]
    identity = torch.eye(3, dtype=edges.dtype, device=edges.device)
    covariance = (along - across)[..., None, None] * outer + across[..., None, None] * identity
    return Gaussians(rays.origins[:, None] + mean[..., None] * directions, covariance)

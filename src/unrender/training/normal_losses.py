"""Losses on the normals of a density field, at points of its visible surface."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

Density = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""Density at world points."""


def density_normals(
    density: Density, points: Float[Tensor, "*batch 3"], spacing: float
) -> Float[Tensor, "*batch 3"]:
    """Unit normals −∇ density / |∇ density|, by central differences of half length `spacing`.

    Differentiable in the parameters of the density. 0 where it is constant.
    """
    offsets = spacing * torch.eye(3, dtype=points.dtype, device=points.device)
    around = points[..., None, None, :] + torch.stack([offsets, -offsets])
    values = density(around.reshape(-1, 3)).view(*points.shape[:-1], 2, 3)
    return normalize(values[..., 1, :] - values[..., 0, :], dim=-1)


def orientation_loss(
    normals: Float[Tensor, "*batch 3"],
    directions: Float[Tensor, "*batch 3"],
    weights: Float[Tensor, "*batch"],
) -> Float[Tensor, ""]:
    """Mean of weight · max(0, n · d)²: visible surfaces face the camera.

    Ref-NeRF, https://arxiv.org/abs/2112.03907, eq. 11, for one point of each ray.
    """
    facing = (normals * directions).sum(-1).clamp_min(0)
    return (weights * facing.square()).mean()


def smoothness_loss(
    normals: Float[Tensor, "images height width 3"], hit: Bool[Tensor, "images height width"]
) -> Float[Tensor, ""]:
    """Mean squared difference between the normals of neighboring pixels that are both hit.

    0 where no two neighbors are hit.
    """
    total, count = normals.new_zeros(()), 0
    for axis in (1, 2):
        length = normals.shape[axis] - 1
        both = hit.narrow(axis, 0, length) & hit.narrow(axis, 1, length)
        change = normals.narrow(axis, 1, length) - normals.narrow(axis, 0, length)
        total = total + (change.square().sum(-1) * both).sum()
        count += int(both.sum())
    return total / max(count, 1)

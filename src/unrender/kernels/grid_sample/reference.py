"""Interpolation in dense grids, in PyTorch."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor


def grid_sample(
    grid: Float[Tensor, "channels *sizes"], points: Float[Tensor, "points dimensions"]
) -> Float[Tensor, "points channels"]:
    sizes = points.new_tensor(grid.shape[1:])
    scaled = points.clamp(0, 1) * (sizes - 1)
    # The last vertex belongs to the last cell, and a single vertex is a cell of its own.
    cell = scaled.detach().floor().minimum((sizes - 2).clamp_min(0))
    offset = scaled - cell
    value = grid.new_zeros(len(grid), len(points))
    for corner in product((0, 1), repeat=points.shape[1]):
        index = torch.zeros_like(points[:, 0], dtype=torch.int64)
        weight = torch.ones_like(points[:, 0])
        for axis, side in enumerate(corner):
            size = grid.shape[1 + axis]
            index = index * size + (cell[:, axis].long() + side).clamp(max=size - 1)
            weight = weight * (offset[:, axis] if side else 1 - offset[:, axis])
        value = value + weight * grid.flatten(1)[:, index]
    return value.T


def total_variation(grid: Float[Tensor, "channels *sizes"]) -> Float[Tensor, ""]:
    differences = [grid.diff(dim=axis) for axis in range(1, grid.ndim)]
    terms = [pairs.square().sum() / max(pairs.numel(), 1) for pairs in differences]
    return torch.stack(terms).sum()

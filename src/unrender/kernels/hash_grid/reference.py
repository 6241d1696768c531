"""The hash grid in PyTorch, level by level."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.hash_grid.layout import PRIMES, HashGridLayout


def hash_grid(
    points: Float[Tensor, "points dimensions"],
    table: Float[Tensor, "entries features"],
    layout: HashGridLayout,
) -> Float[Tensor, "points outputs"]:
    outputs: list[Tensor] = []
    inside = points.clamp(0, 1)
    axes = range(layout.dimensions)
    corners = torch.tensor(list(product((0, 1), repeat=layout.dimensions)), device=table.device)
    for level, entries in enumerate(table.split(list(layout.sizes))):
        resolution = layout.resolutions[level]
        scaled = inside * resolution
        cell = scaled.detach().floor().clamp(max=resolution - 1)
        offset = (scaled - cell)[:, None]
        weight = torch.where(corners == 1, offset, 1 - offset).prod(-1)
        vertex = (cell.long()[:, None] + corners).unbind(-1)
        index = torch.zeros_like(vertex[0])
        for axis in axes:
            if layout.dense[level]:
                index = index + vertex[axis] * (resolution + 1) ** axis
            else:
                index = index ^ (vertex[axis] * PRIMES[axis])
        if not layout.dense[level]:
            index = index % (1 << layout.log2_table_size)
        outputs.append((weight[..., None] * entries[index]).sum(1))
    return torch.cat(outputs, dim=-1)

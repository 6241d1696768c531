"""The hash grid in plain torch, level by level; any number of features."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.hash_grid.layout import PRIMES, HashGridLayout


def hash_grid(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    layout: HashGridLayout,
) -> Float[Tensor, "points outputs"]:
    outputs: list[Tensor] = []
    inside = points.clamp(0, 1)
    for level, resolution in enumerate(layout.resolutions):
        scaled = inside * resolution
        cell = scaled.detach().floor().clamp(max=resolution - 1)
        offset = scaled - cell
        value = table.new_zeros(len(points), layout.features)
        for corner in range(8):
            step = torch.tensor(
                [corner & 1, corner >> 1 & 1, corner >> 2], device=points.device
            )
            x, y, z = (cell.long() + step).unbind(-1)
            if layout.dense[level]:
                index = x + (resolution + 1) * (y + (resolution + 1) * z)
            else:
                index = (x ^ (y * PRIMES[1]) ^ (z * PRIMES[2])) % (1 << layout.log2_table_size)
            weight = torch.where(step == 1, offset, 1 - offset).prod(-1)
            value = value + weight[:, None] * table[layout.offsets[level] + index]
        outputs.append(value)
    return torch.cat(outputs, dim=-1)

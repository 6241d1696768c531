"""The hash grid in plain torch, level by level."""

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
    for level, resolution in enumerate(layout.resolutions):
        scaled = inside * resolution
        cell = scaled.detach().floor().clamp(max=resolution - 1)
        offset = scaled - cell
        value = table.new_zeros(len(points), layout.features)
        for corner in product((0, 1), repeat=layout.dimensions):
            index = torch.zeros_like(points[:, 0], dtype=torch.int64)
            weight = torch.ones_like(points[:, 0])
            for axis, side in enumerate(corner):
                at = cell[:, axis].long() + side
                if layout.dense[level]:
                    index = index + at * (resolution + 1) ** axis
                else:
                    index = index ^ (at * PRIMES[axis])
                weight = weight * (offset[:, axis] if side else 1 - offset[:, axis])
            if not layout.dense[level]:
                index = index % (1 << layout.log2_table_size)
            value = value + weight[:, None] * table[layout.offsets[level] + index]
        outputs.append(value)
    return torch.cat(outputs, dim=-1)

"""Interpolation in sparse voxel grids, in PyTorch."""

from itertools import product

import torch
from jaxtyping import Float, Int32
from torch import Tensor


def sparse_sample(
    rows: Float[Tensor, "rows channels"],
    index: Int32[Tensor, "x y z"],
    points: Float[Tensor, "points 3"],
) -> Float[Tensor, "points channels"]:
    # Row 0, of empty vertices, gets no gradient.
    table = torch.cat([rows[:1].detach(), rows[1:]])
    sizes = torch.tensor(index.shape, dtype=points.dtype, device=points.device)
    scaled = points.clamp(0, 1) * (sizes - 1)
    cell = scaled.detach().floor().minimum(sizes - 2)
    offset = scaled - cell
    value = rows.new_zeros(len(points), rows.shape[1])
    for corner in product((0, 1), repeat=3):
        side = torch.tensor(corner, device=points.device)
        x, y, z = (cell.long() + side).unbind(1)
        weight = torch.where(side.bool(), offset, 1 - offset).prod(1)
        value = value + weight[:, None] * table[index[x, y, z].long()]
    return value

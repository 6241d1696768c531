"""Sparse voxels: which vertices of a cube have a row of features, and the rows of others.

Row 0 stands for all vertices where there is nothing (kernels/sparse_grid); the others are
numbered in the order of their vertices, x being the slowest.
"""

import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn.functional import max_pool3d

from unrender.kernels.sparse_grid import sparse_sample


def index_occupied(there: Bool[Tensor, "x y z"]) -> Int32[Tensor, "x y z"]:
    """The rows of these vertices."""
    return torch.where(there, there.flatten().cumsum(0).view(there.shape), 0).int()


def vertex_positions(index: Int32[Tensor, "x y z"]) -> Float[Tensor, "vertices 3"]:
    """Where the vertices of rows 1, 2, … are, in the unit cube."""
    sizes = torch.tensor(index.shape, device=index.device)
    return index.nonzero() / (sizes - 1)


def resample_rows(
    rows: Float[Tensor, "rows channels"],
    index: Int32[Tensor, "x y z"],
    target: Int32[Tensor, "a b c"],
) -> Float[Tensor, "more_rows channels"]:
    """The rows of another grid over the same cube, interpolated from this one."""
    found = sparse_sample(rows, index, vertex_positions(target))
    return torch.cat([rows[:1], found])


def dilate(there: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """These vertices and their 26 neighbours."""
    return max_pool3d(there[None].float(), 3, stride=1, padding=1)[0] > 0

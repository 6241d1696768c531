"""Nearest neighbors in PyTorch: every query against every point, in chunks."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAX_PAIRS = 1 << 24
"""Maximum number of pairs whose distances are in memory at once."""


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"],
    num_points: Int[Tensor, "batch"],
    k: int,
) -> tuple[Float[Tensor, "batch queries k"], Int[Tensor, "batch queries k"]]:
    distance2 = queries.new_zeros(*queries.shape[:2], k)
    index = torch.full_like(distance2, -1, dtype=torch.long)
    for cloud, (n, m) in enumerate(zip(num_queries.tolist(), num_points.tolist(), strict=True)):
        count = min(k, m)
        for first in range(0, n if count else 0, max(1, MAX_PAIRS // max(m, 1))):
            rows = slice(first, min(n, first + max(1, MAX_PAIRS // max(m, 1))))
            x, y, z = (queries[cloud, rows, None] - points[cloud, :m]).unbind(-1)
            # Stable, so that ties go to the smaller index.
            near = (x * x + y * y + z * z).sort(dim=1, stable=True)
            distance2[cloud, rows, :count] = near.values[:, :count]
            index[cloud, rows, :count] = near.indices[:, :count]
    return distance2, index


def gradients(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    index: Int[Tensor, "batch queries"],
    grad_output: Float[Tensor, "batch queries"],
) -> tuple[Float[Tensor, "batch queries 3"], Float[Tensor, "batch points 3"]]:
    grad_queries, grad_points = torch.zeros_like(queries), torch.zeros_like(points)
    cloud, row = (index >= 0).nonzero(as_tuple=True)
    nearest_points = cloud, index[cloud, row]
    gradient = (
        2 * grad_output[cloud, row, None] * (queries[cloud, row] - points[nearest_points])
    )
    grad_queries[cloud, row] = gradient
    # Unlike `index_add_`, this is deterministic on GPUs too.
    grad_points.index_put_(nearest_points, -gradient, accumulate=True)
    return grad_queries, grad_points

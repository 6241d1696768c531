"""Nearest neighbours in plain torch: every query against every point, some at a time."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

AT_ONCE = 1 << 24
"""Pairs whose distances are held together."""


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
        found = min(k, m)
        for first in range(0, n if found else 0, max(1, AT_ONCE // max(m, 1))):
            rows = slice(first, min(n, first + max(1, AT_ONCE // max(m, 1))))
            x, y, z = (queries[cloud, rows, None] - points[cloud, :m]).unbind(-1)
            # Stable, so that of equal ones the lower row comes first.
            near = (x * x + y * y + z * z).sort(dim=1, stable=True)
            distance2[cloud, rows, :found] = near.values[:, :found]
            index[cloud, rows, :found] = near.indices[:, :found]
    return distance2, index


def gradients(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    index: Int[Tensor, "batch queries"],
    above: Float[Tensor, "batch queries"],
) -> tuple[Float[Tensor, "batch queries 3"], Float[Tensor, "batch points 3"]]:
    by_query, by_point = torch.zeros_like(queries), torch.zeros_like(points)
    cloud, row = (index >= 0).nonzero(as_tuple=True)
    at = cloud, index[cloud, row]
    moved = 2 * above[cloud, row, None] * (queries[cloud, row] - points[at])
    by_query[cloud, row] = moved
    # Of torch's ways to add to rows, the one that has the same sum every time on a GPU too.
    by_point.index_put_(at, -moved, accumulate=True)
    return by_query, by_point

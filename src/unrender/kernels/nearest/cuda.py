"""Nearest neighbors on a GPU, in Triton: blocks of queries against all points, tile by tile.

The j-th neighbor is the nearest of the points that follow the (j − 1)-th in the order of
distance and index. This takes k passes, and no memory that grows with the clouds.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.nearest.reference import gradients

__all__ = ["gradients", "k_nearest"]

QUERIES, POINTS = 64, 64
# No fused multiply-add, so that distances equal the reference's to the last bit.
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


@triton.jit
@no_type_check
def _k_nearest(
    queries, points, num_queries, num_points, rows, columns, k, distance2, index,
    QUERIES: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    cloud = tl.program_id(1).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    count = tl.load(num_points + cloud).to(tl.int32)
    valid = query < tl.load(num_queries + cloud)
    at = queries + (cloud * rows + query) * 3
    x = tl.load(at, mask=valid, other=0.0)[:, None]
    y = tl.load(at + 1, mask=valid, other=0.0)[:, None]
    z = tl.load(at + 2, mask=valid, other=0.0)[:, None]
    lane = tl.arange(0, POINTS)
    infinity = float("inf")
    previous_distance = tl.full([QUERIES], -1.0, tl.float32)
    previous_row = tl.full([QUERIES], -1, tl.int32)
    for neighbor in range(k):
        nearest = tl.full([QUERIES], infinity, tl.float32)
        nearest_row = tl.full([QUERIES], 2147483647, tl.int32)
        for first in range(0, count, POINTS):
            row = first + lane
            in_range = row < count
            p = points + (cloud * columns + row) * 3
            dx = x - tl.load(p, mask=in_range, other=0.0)[None, :]
            dy = y - tl.load(p + 1, mask=in_range, other=0.0)[None, :]
            dz = z - tl.load(p + 2, mask=in_range, other=0.0)[None, :]
            d = dx * dx + dy * dy + dz * dz
            after = (d > previous_distance[:, None]) | (
                (d == previous_distance[:, None]) & (row[None, :] > previous_row[:, None])
            )
            d = tl.where(after & in_range[None, :], d, infinity)
            best = tl.min(d, axis=1)
            best_row = tl.min(tl.where(d == best[:, None], row[None, :], 2147483647), axis=1)
            # Rows come in order, so a later tie never has the smaller index.
            nearest_row = tl.where(best < nearest, best_row, nearest_row)
            nearest = tl.minimum(nearest, best)
        found = valid & (nearest < infinity)
        out = (cloud * rows + query) * k + neighbor
        tl.store(distance2 + out, nearest, mask=found)
        tl.store(index + out, nearest_row.to(tl.int64), mask=found)
        previous_distance, previous_row = nearest, nearest_row


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"],
    num_points: Int[Tensor, "batch"],
    k: int,
) -> tuple[Float[Tensor, "batch queries k"], Int[Tensor, "batch queries k"]]:
    batch, rows, _ = queries.shape
    distance2 = queries.new_zeros(batch, rows, k)
    index = torch.full_like(distance2, -1, dtype=torch.long)
    inputs = queries.contiguous(), points.contiguous(), num_queries, num_points
    grid = (triton.cdiv(rows, QUERIES), batch)
    if distance2.numel() > 0:
        with torch.cuda.device_of(queries):
            _k_nearest[grid](
                *inputs, rows, points.shape[1], k, distance2, index,
                QUERIES, POINTS, **OPTIONS,
            )  # fmt: skip
    return distance2, index

"""Interpolation in sparse voxel grids on the CPU.

The scatter of the gradient is parallel over planes of equal x: each thread loops over all
points and adds to the rows of the vertices in its own planes. There are no atomics, and each
row sums its points in their order for any number of threads. Two vertices never share a row,
except for row 0 of empty vertices, which is omitted.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import (
    even_shares,
    inline,
    jit,
    num_threads,
    run_threads,
    shares,
)


@inline
@no_type_check
def _cell(point, size):
    """Vertex below a point along an axis, and the point's offset from it."""
    scaled = min(max(point, np.float32(0)), np.float32(1)) * np.float32(size - 1)
    # NaN must not index outside the grid either.
    below = max(min(np.int32(scaled), np.int32(size - 2)), np.int32(0))
    return below, scaled - np.float32(below)


@jit
@no_type_check
def _forward(points, rows, index, first, last, out):
    one = np.float32(1)
    size_x, size_y, size_z = index.shape
    value = np.empty(rows.shape[1], np.float32)
    for i in range(first, last):
        x, u = _cell(points[i, 0], size_x)
        y, v = _cell(points[i, 1], size_y)
        z, w = _cell(points[i, 2], size_z)
        for c in range(len(value)):
            value[c] = np.float32(0)
        for corner in range(4):
            a, b = corner >> 1, corner & 1
            weight = (u if a else one - u) * (v if b else one - v)
            near, far = index[x + a, y + b, z], index[x + a, y + b, z + 1]
            if near:
                row, factor = rows[near], weight * (one - w)
                for c in range(len(value)):
                    value[c] += factor * row[c]
            if far:
                row, factor = rows[far], weight * w
                for c in range(len(value)):
                    value[c] += factor * row[c]
        for c in range(len(value)):
            out[i, c] = value[c]


@jit
@no_type_check
def _point_gradient(points, rows, index, gradient, first, last, out):
    """Gradient with respect to the points; 0 for points outside the box."""
    one = np.float32(1)
    zero = np.float32(0)
    size_x, size_y, size_z = index.shape
    sums = np.empty(8, np.float32)
    g = np.empty(rows.shape[1], np.float32)
    for i in range(first, last):
        x, u = _cell(points[i, 0], size_x)
        y, v = _cell(points[i, 1], size_y)
        z, w = _cell(points[i, 2], size_z)
        for c in range(len(g)):
            g[c] = gradient[i, c]
        for corner in range(8):
            k = index[x + (corner >> 2), y + (corner >> 1 & 1), z + (corner & 1)]
            total = zero
            if k:
                row = rows[k]
                for c in range(len(g)):
                    total += g[c] * row[c]
            sums[corner] = total
        grad_x = (one - v) * ((one - w) * (sums[4] - sums[0]) + w * (sums[5] - sums[1]))
        grad_x += v * ((one - w) * (sums[6] - sums[2]) + w * (sums[7] - sums[3]))
        grad_y = (one - u) * ((one - w) * (sums[2] - sums[0]) + w * (sums[3] - sums[1]))
        grad_y += u * ((one - w) * (sums[6] - sums[4]) + w * (sums[7] - sums[5]))
        grad_z = (one - u) * ((one - v) * (sums[1] - sums[0]) + v * (sums[3] - sums[2]))
        grad_z += u * ((one - v) * (sums[5] - sums[4]) + v * (sums[7] - sums[6]))
        out[i, 0] = grad_x * np.float32(size_x - 1) if zero <= points[i, 0] <= one else zero
        out[i, 1] = grad_y * np.float32(size_y - 1) if zero <= points[i, 1] <= one else zero
        out[i, 2] = grad_z * np.float32(size_z - 1) if zero <= points[i, 2] <= one else zero


@jit
@no_type_check
def _count(points, size_x):
    """Number of points that have a vertex in each plane of equal x."""
    counts = np.zeros(size_x, np.int64)
    for i in range(len(points)):
        x, _ = _cell(points[i, 0], size_x)
        counts[x] += 1
        counts[x + 1] += 1
    return counts


@jit
@no_type_check
def _scatter(points, gradient, index, first, last, out):
    """Add each point's gradient to the rows of its vertices in the planes first to last."""
    one = np.float32(1)
    size_x, size_y, size_z = index.shape
    g = np.empty(out.shape[1], np.float32)
    for i in range(len(points)):
        x, u = _cell(points[i, 0], size_x)
        if x + 1 < first or x >= last:
            continue
        y, v = _cell(points[i, 1], size_y)
        z, w = _cell(points[i, 2], size_z)
        for c in range(len(g)):
            g[c] = gradient[i, c]
        for a in range(max(0, first - x), min(2, last - x)):
            for b in range(2):
                weight = (u if a else one - u) * (v if b else one - v)
                near, far = index[x + a, y + b, z], index[x + a, y + b, z + 1]
                if near:
                    row, factor = out[near], weight * (one - w)
                    for c in range(len(g)):
                        row[c] += factor * g[c]
                if far:
                    row, factor = out[far], weight * w
                    for c in range(len(g)):
                        row[c] += factor * g[c]


def sparse_sample_forward(rows: Tensor, index: Tensor, points: Tensor) -> Saved:
    table, positions = rows.detach().contiguous(), points.detach().contiguous()
    index = index.contiguous()
    out = rows.new_empty(len(points), rows.shape[1])
    arrays = positions.numpy(), table.numpy(), index.numpy()
    target = out.numpy()
    run_threads(
        lambda share: _forward(*arrays, *share, target),
        shares(len(points), num_threads()),
    )
    return out, (table, index, positions), ()


def sparse_sample_backward(
    gradient: Tensor, needed: tuple[bool, ...], table: Tensor, index: Tensor, positions: Tensor
) -> Gradients:
    x, cells = positions.numpy(), index.numpy()
    grad_output = gradient.contiguous().numpy()
    row_gradient = point_gradient = None
    if needed[0]:
        row_gradient = torch.zeros_like(table)
        target = row_gradient.numpy()
        run_threads(
            lambda share: _scatter(x, grad_output, cells, *share, target),
            even_shares(_count(x, len(cells)), num_threads()),
        )
    if needed[2]:
        point_gradient = torch.empty_like(positions)
        point_target = point_gradient.numpy()
        run_threads(
            lambda share: _point_gradient(
                x, table.numpy(), cells, grad_output, *share, point_target
            ),
            shares(len(x), num_threads()),
        )
    return row_gradient, None, point_gradient

"""Interpolation in dense grids on the CPU.

A grid is a table with one row per vertex, in either memory order; a two-dimensional grid is a
volume with one vertex along z. The scatter of the gradient is parallel over planes of equal x:
each thread owns the planes that it adds to, and loops over all points to find those in its
planes. There are no atomics, and each vertex sums its points in their order for any number of
threads.
"""

from functools import partial
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
    """Vertices below and above a point along an axis, and its offset between them."""
    scaled = min(max(point, np.float32(0)), np.float32(1)) * np.float32(size - 1)
    # NaN must not index outside the grid either.
    below = max(min(np.int32(scaled), np.int32(size - 2)), np.int32(0))
    above = min(below + np.int32(1), np.int32(size - 1))
    return np.uint32(below), np.uint32(above), scaled - np.float32(below)


@jit
@no_type_check
def _forward(points, table, size_x, size_y, size_z, first, last, out):
    one = np.float32(1)
    stride_x, stride_y = np.uint32(size_y * size_z), np.uint32(size_z)
    value = np.empty(table.shape[1], np.float32)
    for i in range(first, last):
        x0, x1, x = _cell(points[0, i], size_x)
        y0, y1, y = _cell(points[1, i], size_y)
        z0, z1, z = _cell(points[2, i], size_z)
        row00, row01 = x0 * stride_x + y0 * stride_y, x0 * stride_x + y1 * stride_y
        row10, row11 = x1 * stride_x + y0 * stride_y, x1 * stride_x + y1 * stride_y
        v000, v001 = table[np.uint32(row00 + z0)], table[np.uint32(row00 + z1)]
        v010, v011 = table[np.uint32(row01 + z0)], table[np.uint32(row01 + z1)]
        v100, v101 = table[np.uint32(row10 + z0)], table[np.uint32(row10 + z1)]
        v110, v111 = table[np.uint32(row11 + z0)], table[np.uint32(row11 + z1)]
        w00, w01, w10, w11 = (one - x) * (one - y), (one - x) * y, x * (one - y), x * y
        near = one - z
        for c in range(len(value)):
            value[c] = (
                w00 * (near * v000[c] + z * v001[c])
                + w01 * (near * v010[c] + z * v011[c])
                + w10 * (near * v100[c] + z * v101[c])
                + w11 * (near * v110[c] + z * v111[c])
            )
        for c in range(len(value)):
            out[c, i] = value[c]


@jit
@no_type_check
def _point_gradient(points, table, gradient, size_x, size_y, size_z, first, last, out):
    """Gradient with respect to the points; 0 for points outside the box."""
    one = np.float32(1)
    zero = np.float32(0)
    stride_x, stride_y = np.uint32(size_y * size_z), np.uint32(size_z)
    g = np.empty(table.shape[1], np.float32)
    for i in range(first, last):
        x0, x1, x = _cell(points[0, i], size_x)
        y0, y1, y = _cell(points[1, i], size_y)
        z0, z1, z = _cell(points[2, i], size_z)
        row00, row01 = x0 * stride_x + y0 * stride_y, x0 * stride_x + y1 * stride_y
        row10, row11 = x1 * stride_x + y0 * stride_y, x1 * stride_x + y1 * stride_y
        v000, v001 = table[np.uint32(row00 + z0)], table[np.uint32(row00 + z1)]
        v010, v011 = table[np.uint32(row01 + z0)], table[np.uint32(row01 + z1)]
        v100, v101 = table[np.uint32(row10 + z0)], table[np.uint32(row10 + z1)]
        v110, v111 = table[np.uint32(row11 + z0)], table[np.uint32(row11 + z1)]
        for c in range(len(g)):
            g[c] = gradient[c, i]
        s000 = s001 = s010 = s011 = s100 = s101 = s110 = s111 = zero
        for c in range(len(g)):
            s000 += g[c] * v000[c]
            s001 += g[c] * v001[c]
            s010 += g[c] * v010[c]
            s011 += g[c] * v011[c]
            s100 += g[c] * v100[c]
            s101 += g[c] * v101[c]
            s110 += g[c] * v110[c]
            s111 += g[c] * v111[c]
        near_x, near_y, near_z = one - x, one - y, one - z
        grad_x = near_y * (near_z * (s100 - s000) + z * (s101 - s001))
        grad_x += y * (near_z * (s110 - s010) + z * (s111 - s011))
        grad_y = near_x * (near_z * (s010 - s000) + z * (s011 - s001))
        grad_y += x * (near_z * (s110 - s100) + z * (s111 - s101))
        grad_z = near_x * (near_y * (s001 - s000) + y * (s011 - s010))
        grad_z += x * (near_y * (s101 - s100) + y * (s111 - s110))
        inside_x = zero <= points[0, i] <= one
        inside_y = zero <= points[1, i] <= one
        inside_z = zero <= points[2, i] <= one
        out[0, i] = grad_x * np.float32(size_x - 1) if inside_x else zero
        out[1, i] = grad_y * np.float32(size_y - 1) if inside_y else zero
        out[2, i] = grad_z * np.float32(size_z - 1) if inside_z else zero


@jit
@no_type_check
def _count(points, size_x):
    """Number of points that have a vertex in each plane of equal x."""
    counts = np.zeros(size_x, np.int64)
    for i in range(points.shape[1]):
        below, above, _ = _cell(points[0, i], size_x)
        counts[below] += 1
        counts[above] += 1
    return counts


@jit
@no_type_check
def _scatter(points, gradient, size_x, size_y, size_z, first, last, out):
    """Add each point's gradient to its vertices in the planes first to last."""
    one = np.float32(1)
    stride_x, stride_y = np.uint32(size_y * size_z), np.uint32(size_z)
    g = np.empty(out.shape[1], np.float32)
    for i in range(points.shape[1]):
        x0, x1, x = _cell(points[0, i], size_x)
        if x1 < first or x0 >= last:
            continue
        y0, y1, y = _cell(points[1, i], size_y)
        z0, z1, z = _cell(points[2, i], size_z)
        for c in range(len(g)):
            g[c] = gradient[c, i]
        for side in range(2):
            plane = x1 if side else x0
            if first <= plane < last:
                weight = x if side else one - x
                w00, w01 = weight * (one - y) * (one - z), weight * (one - y) * z
                w10, w11 = weight * y * (one - z), weight * y * z
                row0, row1 = plane * stride_x + y0 * stride_y, plane * stride_x + y1 * stride_y
                v00, v01 = out[np.uint32(row0 + z0)], out[np.uint32(row0 + z1)]
                v10, v11 = out[np.uint32(row1 + z0)], out[np.uint32(row1 + z1)]
                for c in range(len(g)):
                    v00[c] += w00 * g[c]
                for c in range(len(g)):
                    v01[c] += w01 * g[c]
                for c in range(len(g)):
                    v10[c] += w10 * g[c]
                for c in range(len(g)):
                    v11[c] += w11 * g[c]


@jit
@no_type_check
def _squared_differences(values, size, stride, job):
    """Sum over pairs `stride` apart that start at positions `first` to `last` of each block."""
    first_block, last_block, first, last = job
    total = 0.0
    for block in range(first_block, last_block):
        start = block * size * stride + first
        end = block * size * stride + min(last, (size - 1) * stride)
        here, after = values[start:end], values[start + stride : end + stride]
        for i in range(len(here)):
            difference = after[i] - here[i]
            total += np.float64(difference * difference)
    return total


@jit
@no_type_check
def _add_differences(values, out, size, stride, factor, job):
    """Add the gradient of `factor` / 2 times this sum at positions `first` to `last`."""
    first_block, last_block, first, last = job
    for block in range(first_block, last_block):
        start = block * size * stride + first
        end = block * size * stride + min(last, (size - 1) * stride)
        here, after, target = values[start:end], values[start + stride :], out[start:end]
        for i in range(len(here)):
            target[i] -= factor * (after[i] - here[i])
        start = block * size * stride + max(first, stride)
        end = block * size * stride + last
        here, before, target = values[start:end], values[start - stride :], out[start:end]
        for i in range(len(here)):
            target[i] += factor * (here[i] - before[i])


def grid_sample_forward(grid: Tensor, points: Tensor) -> Saved:
    num_points, dimensions = points.shape
    table = grid.detach().movedim(0, -1).flatten(0, -2)
    # For many points a copy with contiguous channels pays off.
    if 4 * num_points > len(table) or not table.T.is_contiguous():
        table = table.contiguous()
    columns = points.new_zeros(3, num_points)
    columns[:dimensions] = points.detach().T
    sizes = (*grid.shape[1:], 1)[:3]
    out = grid.new_empty(len(grid), num_points)
    arrays = columns.numpy(), table.numpy()
    target = out.numpy()
    run_threads(
        lambda share: _forward(*arrays, *sizes, *share, target),
        shares(num_points, num_threads()),
    )
    return out.T, (columns, table), (grid.shape, sizes)


def grid_sample_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    shape: torch.Size,
    sizes: tuple[int, int, int],
    columns: Tensor,
    table: Tensor,
) -> Gradients:
    x, rows, grad_output = (
        columns.numpy(),
        table.numpy(),
        gradient.T.contiguous().numpy(),
    )
    grid_gradient = point_gradient = None
    if needed[0]:
        # zeros_like keeps the table's memory order.
        grad_table = torch.zeros_like(table)
        target = grad_table.numpy()
        run_threads(
            lambda share: _scatter(x, grad_output, *sizes, *share, target),
            even_shares(_count(x, sizes[0]), num_threads()),
        )
        grid_gradient = grad_table.T.reshape(shape)
    if needed[1]:
        gradient_columns = torch.empty_like(columns)
        target = gradient_columns.numpy()
        run_threads(
            lambda share: _point_gradient(x, rows, grad_output, *sizes, *share, target),
            shares(x.shape[1], num_threads()),
        )
        point_gradient = gradient_columns[: len(shape) - 1].T
    return grid_gradient, point_gradient


def _axes(stored: Tensor, channels_last: bool) -> list[tuple[int, int, int]]:
    """Number of blocks, size and stride of each axis with more than one vertex."""
    axes: list[tuple[int, int, int]] = []
    for axis in range(stored.ndim - 1) if channels_last else range(1, stored.ndim):
        size, stride = stored.shape[axis], stored.shape[axis + 1 :].numel()
        if size > 1:
            axes.append((stored.numel() // (size * stride), size, stride))
    return axes


def _jobs(blocks: int, length: int) -> list[tuple[int, int, int, int]]:
    """Split the blocks or, if there are few, the `length` values of each block."""
    if blocks >= num_threads():
        return [(*share, 0, length) for share in shares(blocks, num_threads())]
    return [(0, blocks, *share) for share in shares(length, num_threads())]


def total_variation_forward(grid: Tensor) -> Saved:
    stored = grid.detach().movedim(0, -1)
    channels_last = stored.is_contiguous()
    if not channels_last:
        stored = grid.detach().contiguous()
    values = stored.view(-1).numpy()
    total = 0.0
    for blocks, size, stride in _axes(stored, channels_last):
        sums = run_threads(
            partial(_squared_differences, values, size, stride),
            _jobs(blocks, size * stride),
        )
        total += sum(sums) / (blocks * (size - 1) * stride)
    return grid.new_tensor(total), (stored,), (channels_last,)


def total_variation_backward(
    gradient: Tensor, needed: tuple[bool, ...], channels_last: bool, stored: Tensor
) -> Gradients:
    out = torch.zeros_like(stored)
    values, target = stored.view(-1).numpy(), out.view(-1).numpy()
    for blocks, size, stride in _axes(stored, channels_last):
        factor = np.float32(2 * float(gradient) / (blocks * (size - 1) * stride))
        run_threads(
            partial(_add_differences, values, target, size, stride, factor),
            _jobs(blocks, size * stride),
        )
    return (out.movedim(-1, 0) if channels_last else out,)

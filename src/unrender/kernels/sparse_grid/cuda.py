"""Interpolation in sparse voxel grids on a GPU, in Triton.

A lane of a tile is one channel of a point, so that a row's channels are read together.
Gradients are added to the rows by atomics: the order of summation, and so the last digits, vary
from run to run; the gradient with respect to the points does not vary.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved

LANES = 1024


@triton.jit
@no_type_check
def _cell(points, axis: tl.constexpr, at, inside, size):
    """Vertex below each point, the point's offset from it, and the offset's slope."""
    point = tl.load(points + 3 * at + axis, mask=inside, other=0.0)
    cells = tl.cast(size - 1, tl.float32)
    scaled = tl.minimum(tl.maximum(point, 0.0), 1.0) * cells
    below = tl.minimum(scaled.to(tl.int32), size - 2)
    # Clamped coordinates have no gradient.
    slope = tl.where((point >= 0) & (point <= 1), cells, 0.0)
    return below.to(tl.int64), scaled - below.to(tl.float32), slope


@triton.jit
@no_type_check
def _forward(
    points, num_points, rows, index, size_x, size_y, size_z, num_channels, out,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    channel = tl.arange(0, CHANNELS)[None, :]
    inside = at < num_points
    x, u, _ = _cell(points, 0, at, inside, size_x)
    y, v, _ = _cell(points, 1, at, inside, size_y)
    z, w, _ = _cell(points, 2, at, inside, size_z)
    value = tl.zeros([POINTS, CHANNELS], tl.float32)
    for corner in tl.static_range(8):
        weight = u if corner & 1 else 1 - u
        weight *= v if corner >> 1 & 1 else 1 - v
        weight *= w if corner >> 2 else 1 - w
        vertex = ((x + (corner & 1)) * size_y + y + (corner >> 1 & 1)) * size_z
        row = tl.load(index + vertex + z + (corner >> 2), mask=inside, other=0)
        used = (row[:, None] > 0) & (channel < num_channels)
        at_row = rows + row.to(tl.int64)[:, None] * num_channels + channel
        value += weight[:, None] * tl.load(at_row, mask=used, other=0.0)
    used = inside[:, None] & (channel < num_channels)
    tl.store(out + at[:, None] * num_channels + channel, value, mask=used)


@triton.jit
@no_type_check
def _backward(
    points, num_points, rows, index, gradient, size_x, size_y, size_z, num_channels,
    row_gradient, point_gradient,
    NEED_ROWS: tl.constexpr, NEED_POINTS: tl.constexpr,
    POINTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    channel = tl.arange(0, CHANNELS)[None, :]
    inside = at < num_points
    x, u, slope_x = _cell(points, 0, at, inside, size_x)
    y, v, slope_y = _cell(points, 1, at, inside, size_y)
    z, w, slope_z = _cell(points, 2, at, inside, size_z)
    used = inside[:, None] & (channel < num_channels)
    grad_output = tl.load(gradient + at[:, None] * num_channels + channel, mask=used, other=0.0)
    grad_x = tl.zeros([POINTS], tl.float32)
    grad_y = tl.zeros([POINTS], tl.float32)
    grad_z = tl.zeros([POINTS], tl.float32)
    for corner in tl.static_range(8):
        factor_x = u if corner & 1 else 1 - u
        factor_y = v if corner >> 1 & 1 else 1 - v
        factor_z = w if corner >> 2 else 1 - w
        vertex = ((x + (corner & 1)) * size_y + y + (corner >> 1 & 1)) * size_z
        row = tl.load(index + vertex + z + (corner >> 2), mask=inside, other=0)
        occupied = (row[:, None] > 0) & (channel < num_channels)
        entry = row.to(tl.int64)[:, None] * num_channels + channel
        if NEED_ROWS:
            weight = (factor_x * factor_y * factor_z)[:, None]
            tl.atomic_add(
                row_gradient + entry, weight * grad_output, mask=occupied, sem="relaxed"
            )
        if NEED_POINTS:
            value = tl.sum(
                tl.load(rows + entry, mask=occupied, other=0.0) * grad_output, axis=1
            )
            # A corner's factor increases with the offset on the far side, else decreases.
            grad_x += factor_y * factor_z * (value if corner & 1 else -value)
            grad_y += factor_x * factor_z * (value if corner >> 1 & 1 else -value)
            grad_z += factor_x * factor_y * (value if corner >> 2 else -value)
    if NEED_POINTS:
        tl.store(point_gradient + 3 * at, grad_x * slope_x, mask=inside)
        tl.store(point_gradient + 3 * at + 1, grad_y * slope_y, mask=inside)
        tl.store(point_gradient + 3 * at + 2, grad_z * slope_z, mask=inside)


def _tile(channels: int) -> tuple[int, int]:
    """Points and channels of a tile: powers of two."""
    wide = triton.next_power_of_2(channels)
    return max(1, LANES // wide), wide


def sparse_sample_forward(rows: Tensor, index: Tensor, points: Tensor) -> Saved:
    table, positions = rows.detach().contiguous(), points.detach().contiguous()
    index = index.contiguous()
    out = rows.new_empty(len(points), rows.shape[1])
    size_x, size_y, size_z = index.shape
    block, wide = _tile(rows.shape[1])
    if len(points):
        with torch.cuda.device_of(out):
            _forward[(triton.cdiv(len(points), block),)](
                positions, len(points), table, index, size_x, size_y, size_z,
                rows.shape[1], out, block, wide,
            )  # fmt: skip
    return out, (table, index, positions), ()


def sparse_sample_backward(
    gradient: Tensor, needed: tuple[bool, ...], table: Tensor, index: Tensor, positions: Tensor
) -> Gradients:
    need_rows, _, need_points = needed
    row_gradient = torch.zeros_like(table) if need_rows else table
    point_gradient = torch.empty_like(positions)
    size_x, size_y, size_z = index.shape
    block, wide = _tile(table.shape[1])
    if len(positions):
        with torch.cuda.device_of(table):
            _backward[(triton.cdiv(len(positions), block),)](
                positions, len(positions), table, index, gradient.contiguous(),
                size_x, size_y, size_z, table.shape[1], row_gradient, point_gradient,
                need_rows, need_points, block, wide,
            )  # fmt: skip
    return (
        row_gradient if need_rows else None,
        None,
        point_gradient if need_points else None,
    )

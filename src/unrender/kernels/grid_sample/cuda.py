"""Interpolation in dense grids on a GPU, in Triton.

A lane of a tile is one channel of a point, so that a vertex's channels are read together if
they are contiguous in memory; the grid may have any strides. A two-dimensional grid is a volume
with one vertex along z. Points and their gradients are feature-major, [features, points].

Gradients are added to the grid by atomics: the order of summation, and so the last digits, vary
from run to run. The gradient with respect to the points and that of the total variation do not
vary.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved

LANES = 1024
BLOCK = 1024


@triton.jit
@no_type_check
def _cell(points, axis: tl.constexpr, at, inside, num_points, size):
    """Vertices below and above each point, its offset between them, and the offset's slope."""
    point = tl.load(points + axis * tl.cast(num_points, tl.int64) + at, mask=inside, other=0.0)
    cells = tl.cast(size - 1, tl.float32)
    scaled = tl.minimum(tl.maximum(point, 0.0), 1.0) * cells
    below = tl.minimum(scaled.to(tl.int32), tl.maximum(size - 2, 0))
    above = tl.minimum(below + 1, size - 1)
    # Clamped coordinates have no gradient.
    slope = tl.where((point >= 0) & (point <= 1), cells, 0.0)
    return below.to(tl.int64), above.to(tl.int64), scaled - below.to(tl.float32), slope


@triton.jit
@no_type_check
def _forward(
    points,
    num_points,
    grid,
    size_x,
    size_y,
    size_z,
    stride_c,
    stride_x,
    stride_y,
    stride_z,
    num_channels,
    out,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    inside = at < num_points
    used = inside[:, None] & (channel < num_channels)
    x0, x1, x, _ = _cell(points, 0, at, inside, num_points, size_x)
    y0, y1, y, _ = _cell(points, 1, at, inside, num_points, size_y)
    z0, z1, z, _ = _cell(points, 2, at, inside, num_points, size_z)
    value = tl.zeros([POINTS, CHANNELS], tl.float32)
    for corner in tl.static_range(8):
        weight = x if corner & 1 else 1 - x
        weight *= y if corner >> 1 & 1 else 1 - y
        weight *= z if corner >> 2 else 1 - z
        vertex = (x1 if corner & 1 else x0) * stride_x
        vertex += (y1 if corner >> 1 & 1 else y0) * stride_y
        vertex += (z1 if corner >> 2 else z0) * stride_z
        row = tl.load(grid + vertex[:, None] + channel * stride_c, mask=used, other=0.0)
        value += weight[:, None] * row
    tl.store(out + channel * num_points + at[:, None], value, mask=used)


@triton.jit
@no_type_check
def _grid_gradient(
    points,
    num_points,
    gradient,
    size_x,
    size_y,
    size_z,
    stride_c,
    stride_x,
    stride_y,
    stride_z,
    num_channels,
    out,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Add each point's gradient to the vertices that it was interpolated from."""
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    inside = at < num_points
    used = inside[:, None] & (channel < num_channels)
    x0, x1, x, _ = _cell(points, 0, at, inside, num_points, size_x)
    y0, y1, y, _ = _cell(points, 1, at, inside, num_points, size_y)
    z0, z1, z, _ = _cell(points, 2, at, inside, num_points, size_z)
    grad_output = tl.load(gradient + channel * num_points + at[:, None], mask=used, other=0.0)
    for corner in tl.static_range(8):
        weight = x if corner & 1 else 1 - x
        weight *= y if corner >> 1 & 1 else 1 - y
        weight *= z if corner >> 2 else 1 - z
        vertex = (x1 if corner & 1 else x0) * stride_x
        vertex += (y1 if corner >> 1 & 1 else y0) * stride_y
        vertex += (z1 if corner >> 2 else z0) * stride_z
        target = out + vertex[:, None] + channel * stride_c
        # Along an axis of one vertex, both sides are that vertex, and one has weight 0.
        tl.atomic_add(
            target,
            weight[:, None] * grad_output,
            mask=used & (weight[:, None] != 0),
            sem="relaxed",
        )


@triton.jit
@no_type_check
def _point_gradient(
    points,
    num_points,
    grid,
    gradient,
    size_x,
    size_y,
    size_z,
    stride_c,
    stride_x,
    stride_y,
    stride_z,
    num_channels,
    out,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Gradient with respect to the points, summed over all channels."""
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    inside = at < num_points
    x0, x1, x, slope_x = _cell(points, 0, at, inside, num_points, size_x)
    y0, y1, y, slope_y = _cell(points, 1, at, inside, num_points, size_y)
    z0, z1, z, slope_z = _cell(points, 2, at, inside, num_points, size_z)
    grad_x = tl.zeros([POINTS], tl.float32)
    grad_y = tl.zeros([POINTS], tl.float32)
    grad_z = tl.zeros([POINTS], tl.float32)
    for start in range(0, num_channels, CHANNELS):
        channel = start + tl.arange(0, CHANNELS).to(tl.int64)[None, :]
        used = inside[:, None] & (channel < num_channels)
        grad_output = tl.load(
            gradient + channel * num_points + at[:, None], mask=used, other=0.0
        )
        for corner in tl.static_range(8):
            factor_x = x if corner & 1 else 1 - x
            factor_y = y if corner >> 1 & 1 else 1 - y
            factor_z = z if corner >> 2 else 1 - z
            vertex = (x1 if corner & 1 else x0) * stride_x
            vertex += (y1 if corner >> 1 & 1 else y0) * stride_y
            vertex += (z1 if corner >> 2 else z0) * stride_z
            row = tl.load(grid + vertex[:, None] + channel * stride_c, mask=used, other=0.0)
            value = tl.sum(row * grad_output, axis=1)
            # A corner's factor increases with the offset on the far side, else decreases.
            grad_x += factor_y * factor_z * (value if corner & 1 else -value)
            grad_y += factor_x * factor_z * (value if corner >> 1 & 1 else -value)
            grad_z += factor_x * factor_y * (value if corner >> 2 else -value)
    stride = tl.cast(num_points, tl.int64)
    tl.store(out + at, grad_x * slope_x, mask=inside)
    tl.store(out + stride + at, grad_y * slope_y, mask=inside)
    tl.store(out + 2 * stride + at, grad_z * slope_z, mask=inside)


@triton.jit
@no_type_check
def _squared_differences(values, count, size, stride, weight, out, BLOCK: tl.constexpr):
    """Each program's sum over the pairs along an axis that start in its block."""
    program = tl.program_id(0).to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    first = (at < count) & (at // stride % size < size - 1)
    difference = tl.load(values + at + stride, mask=first, other=0.0)
    difference -= tl.load(values + at, mask=first, other=0.0)
    tl.store(out + program, weight * tl.sum(difference * difference, axis=0))


@triton.jit
@no_type_check
def _add_differences(values, count, size, stride, weight, gradient, out, BLOCK: tl.constexpr):
    """Add the gradient of this sum with respect to each value."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    index = at // stride % size
    first, second = inside & (index < size - 1), inside & (index > 0)
    here = tl.load(values + at, mask=inside, other=0.0)
    after = tl.load(values + at + stride, mask=first, other=0.0)
    before = tl.load(values + at - stride, mask=second, other=0.0)
    change = tl.where(second, here - before, 0.0) - tl.where(first, after - here, 0.0)
    factor = 2 * weight * tl.load(gradient)
    total = tl.load(out + at, mask=inside, other=0.0)
    tl.store(out + at, total + factor * change, mask=inside)


def _layout(grid: Tensor) -> tuple[int, int, int, int, int, int, int, int]:
    """Sizes, strides of channels and axes, and number of channels, as a volume."""
    volume = grid if grid.ndim == 4 else grid[..., None]
    num_channels, size_x, size_y, size_z = volume.shape
    stride_c, stride_x, stride_y, stride_z = volume.stride()
    return size_x, size_y, size_z, stride_c, stride_x, stride_y, stride_z, num_channels


def _tile(grid: Tensor) -> tuple[int, int]:
    """Points and channels of a tile."""
    channels = min(triton.next_power_of_2(len(grid)), 32)
    return LANES // channels, channels


def grid_sample_forward(grid: Tensor, points: Tensor) -> Saved:
    grid = grid.detach()
    num_points, dimensions = points.shape
    columns = points.new_zeros(3, num_points)
    columns[:dimensions] = points.detach().T
    out = grid.new_empty(len(grid), num_points)
    if out.numel():
        tile = _tile(grid)
        programs = triton.cdiv(num_points, tile[0]), triton.cdiv(len(grid), tile[1])
        with torch.cuda.device_of(grid):
            _forward[programs](columns, num_points, grid, *_layout(grid), out, *tile)
    return out.T, (columns, grid), ()


def grid_sample_backward(
    gradient: Tensor, needed: tuple[bool, ...], columns: Tensor, grid: Tensor
) -> Gradients:
    num_points = columns.shape[1]
    grad_output = gradient.T.contiguous()
    grid_gradient = point_gradient = None
    if needed[0]:
        grid_gradient = torch.zeros_like(grid)
    if needed[1]:
        point_gradient = torch.zeros_like(columns)
    if grad_output.numel():
        tile = _tile(grid)
        programs = triton.cdiv(num_points, tile[0]), triton.cdiv(len(grid), tile[1])
        with torch.cuda.device_of(grid):
            if grid_gradient is not None:
                layout = _layout(grid_gradient)
                _grid_gradient[programs](
                    columns, num_points, grad_output, *layout, grid_gradient, *tile
                )
            if point_gradient is not None:
                _point_gradient[programs[:1]](
                    columns,
                    num_points,
                    grid,
                    grad_output,
                    *_layout(grid),
                    point_gradient,
                    *tile,
                )
    if point_gradient is not None:
        point_gradient = point_gradient[: grid.ndim - 1].T
    return grid_gradient, point_gradient


def _axes(grid: Tensor) -> list[tuple[int, int, float]]:
    """Size, stride and 1 / number of pairs of each axis with more than one vertex."""
    return [
        (size, grid.shape[axis + 1 :].numel(), size / (grid.numel() * (size - 1)))
        for axis, size in enumerate(grid.shape)
        if axis > 0 and size > 1
    ]


def total_variation_forward(grid: Tensor) -> Saved:
    stored = grid.detach().contiguous()
    count, axes = stored.numel(), _axes(stored)
    programs = triton.cdiv(count, BLOCK)
    sums = stored.new_zeros(len(axes), programs)
    with torch.cuda.device_of(stored):
        for (size, stride, weight), out in zip(axes, sums, strict=True):
            _squared_differences[(programs,)](stored, count, size, stride, weight, out, BLOCK)
    return sums.sum(), (stored,), ()


def total_variation_backward(
    gradient: Tensor, needed: tuple[bool, ...], stored: Tensor
) -> Gradients:
    count, out = stored.numel(), torch.zeros_like(stored)
    with torch.cuda.device_of(stored):
        for size, stride, weight in _axes(stored):
            _add_differences[(triton.cdiv(count, BLOCK),)](
                stored, count, size, stride, weight, gradient, out, BLOCK
            )
    return (out,)

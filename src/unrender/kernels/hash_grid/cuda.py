"""The hash grid on a GPU, in Triton.

A program processes a block of points at one level. Programs start in the order of their
indices, all blocks of a level before the next level, so that little more than one level's table
is in use at any time and stays in the second-level cache. Tiles are [points, features], so that
an entry's features are read, and added to, together. Outputs and gradients are feature-major in
memory, so that adjacent threads access contiguous memory.

Gradients are added to the table by atomics: the order of summation, and so the last digits,
vary from run to run. The gradient with respect to the points is summed level by level, and does
not vary.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from functools import cache
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

from unrender.kernels.hash_grid.layout import PRIMES, HashGridLayout
from unrender.kernels.runtime.function import Gradients, Saved

BLOCK = 128
"""Points per program. With one point for each of its 128 threads, tiles of points and of
features have the same distribution over threads, and no data are exchanged between them."""
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
"""Fused multiply-add is set explicitly: Triton 3.10 changes the default, and 3.9 warns."""
PRIME_Y = tl.constexpr(PRIMES[1])
PRIME_Z = tl.constexpr(PRIMES[2])


@triton.jit
@no_type_check
def _cell(points, axis: tl.constexpr, at, inside, num_points, resolution):
    """Each point's cell along an axis, and its offset in the cell, 0 to 1."""
    point = tl.load(points + axis * num_points + at, mask=inside, other=0.0)
    scaled = tl.minimum(tl.maximum(point, 0.0), 1.0) * resolution.to(tl.float32)
    cell = tl.minimum(scaled.to(tl.int32), resolution - 1)
    return cell.to(tl.uint32), scaled - cell.to(tl.float32)


@triton.jit
@no_type_check
def _cells(points, at, inside, num_points, resolution, DIMENSIONS: tl.constexpr):
    """Cells and offsets in them along x, y and z; in two dimensions, z is 0."""
    cell_x, x = _cell(points, 0, at, inside, num_points, resolution)
    cell_y, y = _cell(points, 1, at, inside, num_points, resolution)
    if DIMENSIONS == 3:
        cell_z, z = _cell(points, 2, at, inside, num_points, resolution)
    else:
        cell_z, z = tl.zeros_like(cell_x), tl.zeros_like(x)
    return cell_x, cell_y, cell_z, x, y, z


@triton.jit
@no_type_check
def _level(levels, level):
    """A level's resolution, whether it is dense, and its first entry."""
    resolution = tl.load(levels + 3 * level).to(tl.int32)
    dense = tl.load(levels + 3 * level + 1) != 0
    return resolution, dense, tl.load(levels + 3 * level + 2)


@triton.jit
@no_type_check
def _entry(
    corner: tl.constexpr, cell_x, cell_y, cell_z, resolution, dense, LOG2_SIZE: tl.constexpr
):
    """Index of a corner in its level's table; bit a of `corner` is the side along axis a."""
    x = cell_x + (corner & 1)
    y = cell_y + (corner >> 1 & 1)
    z = cell_z + (corner >> 2)
    stride = (resolution + 1).to(tl.uint32)
    hashed = (x ^ (y * PRIME_Y) ^ (z * PRIME_Z)) & ((1 << LOG2_SIZE) - 1)
    return tl.where(dense, x + stride * (y + stride * z), hashed).to(tl.int64)


@triton.jit
@no_type_check
def _factors(corner: tl.constexpr, x, y, z):
    """Interpolation factors of a corner along each axis; its weight is their product."""
    factor_x = x if corner & 1 else 1 - x
    factor_y = y if corner >> 1 & 1 else 1 - y
    factor_z = z if corner >> 2 else 1 - z
    return factor_x, factor_y, factor_z


@triton.jit
@no_type_check
def _forward(
    points,
    num_points,
    levels,
    table,
    out,
    DIMENSIONS: tl.constexpr,
    FEATURES: tl.constexpr,
    PADDED: tl.constexpr,
    LOG2_SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    level = tl.program_id(1).to(tl.int64)
    resolution, dense, first = _level(levels, level)
    cell_x, cell_y, cell_z, x, y, z = _cells(
        points, at, inside, num_points, resolution, DIMENSIONS
    )
    feature = tl.arange(0, PADDED)[None, :]
    used = inside[:, None] & (feature < FEATURES)
    value = tl.zeros([BLOCK, PADDED], tl.float32)
    for corner in tl.static_range(1 << DIMENSIONS):
        entry = first + _entry(corner, cell_x, cell_y, cell_z, resolution, dense, LOG2_SIZE)
        factor_x, factor_y, factor_z = _factors(corner, x, y, z)
        row = tl.load(table + entry[:, None] * FEATURES + feature, mask=used, other=0.0)
        value += (factor_x * factor_y * factor_z)[:, None] * row
    target = (level * FEATURES + feature) * num_points + at[:, None]
    tl.store(out + target, value, mask=used)


@triton.jit
@no_type_check
def _table_gradient(
    points,
    num_points,
    levels,
    gradient,
    out,
    DIMENSIONS: tl.constexpr,
    FEATURES: tl.constexpr,
    PADDED: tl.constexpr,
    LOG2_SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add each point's gradient to the entries that it was interpolated from."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    level = tl.program_id(1).to(tl.int64)
    resolution, dense, first = _level(levels, level)
    cell_x, cell_y, cell_z, x, y, z = _cells(
        points, at, inside, num_points, resolution, DIMENSIONS
    )
    feature = tl.arange(0, PADDED)[None, :]
    used = inside[:, None] & (feature < FEATURES)
    source = (level * FEATURES + feature) * num_points + at[:, None]
    grad_output = tl.load(gradient + source, mask=used, other=0.0)
    for corner in tl.static_range(1 << DIMENSIONS):
        entry = first + _entry(corner, cell_x, cell_y, cell_z, resolution, dense, LOG2_SIZE)
        factor_x, factor_y, factor_z = _factors(corner, x, y, z)
        contribution = (factor_x * factor_y * factor_z)[:, None] * grad_output
        target = out + entry[:, None] * FEATURES + feature
        tl.atomic_add(target, contribution, mask=used, sem="relaxed")


@triton.jit
@no_type_check
def _store_derivative(
    derivative, axis: tl.constexpr, points, at, inside, num_points, resolution, out
):
    """Store one axis of the gradient with respect to the points; 0 outside the cube."""
    point = tl.load(points + axis * num_points + at, mask=inside, other=0.0)
    within = (point >= 0) & (point <= 1)
    value = tl.where(within, derivative * resolution.to(tl.float32), 0.0)
    tl.store(out + axis * num_points + at, value, mask=inside)


@triton.jit
@no_type_check
def _point_gradient(
    points,
    num_points,
    levels,
    table,
    gradient,
    out,
    DIMENSIONS: tl.constexpr,
    FEATURES: tl.constexpr,
    PADDED: tl.constexpr,
    LOG2_SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One level's gradient with respect to the points."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    level = tl.program_id(1).to(tl.int64)
    resolution, dense, first = _level(levels, level)
    cell_x, cell_y, cell_z, x, y, z = _cells(
        points, at, inside, num_points, resolution, DIMENSIONS
    )
    feature = tl.arange(0, PADDED)[None, :]
    used = inside[:, None] & (feature < FEATURES)
    source = (level * FEATURES + feature) * num_points + at[:, None]
    grad_output = tl.load(gradient + source, mask=used, other=0.0)
    grad_x = tl.zeros([BLOCK], tl.float32)
    grad_y = tl.zeros([BLOCK], tl.float32)
    grad_z = tl.zeros([BLOCK], tl.float32)
    for corner in tl.static_range(1 << DIMENSIONS):
        entry = first + _entry(corner, cell_x, cell_y, cell_z, resolution, dense, LOG2_SIZE)
        factor_x, factor_y, factor_z = _factors(corner, x, y, z)
        row = tl.load(table + entry[:, None] * FEATURES + feature, mask=used, other=0.0)
        value = tl.sum(row * grad_output, axis=1)
        # A corner's factor increases with the offset on the far side, else decreases.
        grad_x += factor_y * factor_z * (value if corner & 1 else -value)
        grad_y += factor_x * factor_z * (value if corner >> 1 & 1 else -value)
        grad_z += factor_x * factor_y * (value if corner >> 2 else -value)
    target = out + level * DIMENSIONS * num_points
    _store_derivative(grad_x, 0, points, at, inside, num_points, resolution, target)
    _store_derivative(grad_y, 1, points, at, inside, num_points, resolution, target)
    if DIMENSIONS == 3:
        _store_derivative(grad_z, 2, points, at, inside, num_points, resolution, target)


@cache
def _levels(layout: HashGridLayout, device: torch.device) -> Int[Tensor, "levels 3"]:
    """The table that `_level` reads; cached, since copying it to the GPU synchronizes."""
    rows = zip(layout.resolutions, layout.dense, layout.offsets, strict=False)
    return torch.tensor([[int(number) for number in row] for row in rows], device=device)


def _constants(layout: HashGridLayout) -> tuple[int, int, int, int, int]:
    padded = triton.next_power_of_2(layout.features_per_level)
    return layout.dimensions, layout.features_per_level, padded, layout.log2_table_size, BLOCK


def hash_grid_forward(points: Tensor, table: Tensor, layout: HashGridLayout) -> Saved:
    columns, table = points.detach().T.contiguous(), table.detach().contiguous()
    num_points = columns.shape[1]
    out = table.new_empty(layout.num_levels * layout.features_per_level, num_points)
    levels = _levels(layout, table.device)
    grid = (triton.cdiv(num_points, BLOCK), layout.num_levels)
    if num_points:
        with torch.cuda.device_of(table):
            _forward[grid](
                columns, num_points, levels, table, out, *_constants(layout), **OPTIONS
            )
    return out.T, (columns, table), (layout,)


def hash_grid_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    layout: HashGridLayout,
    columns: Tensor,
    table: Tensor,
) -> Gradients:
    grad_output = gradient.T.contiguous()
    num_points = columns.shape[1]
    inputs = (columns, num_points, _levels(layout, table.device))
    grid = (triton.cdiv(num_points, BLOCK), layout.num_levels)
    point_gradient = table_gradient = None
    with torch.cuda.device_of(table):
        if needed[1]:
            table_gradient = torch.zeros_like(table)
            if num_points:
                _table_gradient[grid](
                    *inputs, grad_output, table_gradient, *_constants(layout), **OPTIONS
                )
        if needed[0]:
            level_gradients = columns.new_empty(layout.num_levels, *columns.shape)
            if num_points:
                _point_gradient[grid](
                    *inputs,
                    table,
                    grad_output,
                    level_gradients,
                    *_constants(layout),
                    **OPTIONS,
                )
            point_gradient = level_gradients.sum(0).T
    return point_gradient, table_gradient

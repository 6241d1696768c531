"""The hash grid on the CPU.

Levels are the outer loop, so that one level's table is in cache while all points pass through
it. Within a level, indices and weights of a block of points are computed first, in loops that
vectorize, and then the features are gathered. The scatter of the gradient is parallel over
levels: each thread owns the tables that it adds to, so there are no atomics and the result does
not depend on timing.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from unrender.kernels.hash_grid.layout import PRIMES, HashGridLayout
from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares

BLOCK = 256
PRIME_Y = np.uint32(PRIMES[1])
PRIME_Z = np.uint32(PRIMES[2])


@inline
@no_type_check
def _corners(points, at, n, resolution, dense, mask, index, weight):
    """Table entries and trilinear weights of the eight corners around each point."""
    scale = np.float32(resolution)
    one = np.float32(1)
    zero = np.float32(0)
    # NaN must not index outside the table either.
    first, last = np.int32(0), np.int32(resolution - 1)
    stride = np.uint32(resolution + 1)
    slab = np.uint32(stride * stride)
    for i in range(n):
        x = min(max(points[0, at + i], zero), one) * scale
        y = min(max(points[1, at + i], zero), one) * scale
        z = min(max(points[2, at + i], zero), one) * scale
        cell_x = max(min(np.int32(x), last), first)
        cell_y = max(min(np.int32(y), last), first)
        cell_z = max(min(np.int32(z), last), first)
        x -= np.float32(cell_x)
        y -= np.float32(cell_y)
        z -= np.float32(cell_z)
        if dense:
            base = np.uint32(
                np.uint32(cell_x) + np.uint32(cell_y) * stride + np.uint32(cell_z) * slab
            )
            index[0, i] = base
            index[1, i] = base + np.uint32(1)
            index[2, i] = base + stride
            index[3, i] = base + stride + np.uint32(1)
            index[4, i] = base + slab
            index[5, i] = base + slab + np.uint32(1)
            index[6, i] = base + slab + stride
            index[7, i] = base + slab + stride + np.uint32(1)
        else:
            x0 = np.uint32(cell_x)
            y0 = np.uint32(np.uint32(cell_y) * PRIME_Y)
            z0 = np.uint32(np.uint32(cell_z) * PRIME_Z)
            x1 = np.uint32(x0 + np.uint32(1))
            y1 = np.uint32(y0 + PRIME_Y)
            z1 = np.uint32(z0 + PRIME_Z)
            index[0, i] = (x0 ^ y0 ^ z0) & mask
            index[1, i] = (x1 ^ y0 ^ z0) & mask
            index[2, i] = (x0 ^ y1 ^ z0) & mask
            index[3, i] = (x1 ^ y1 ^ z0) & mask
            index[4, i] = (x0 ^ y0 ^ z1) & mask
            index[5, i] = (x1 ^ y0 ^ z1) & mask
            index[6, i] = (x0 ^ y1 ^ z1) & mask
            index[7, i] = (x1 ^ y1 ^ z1) & mask
        far_x, far_y, far_z = one - x, one - y, one - z
        w00 = far_y * far_z
        w10 = y * far_z
        w01 = far_y * z
        w11 = y * z
        weight[0, i] = far_x * w00
        weight[1, i] = x * w00
        weight[2, i] = far_x * w10
        weight[3, i] = x * w10
        weight[4, i] = far_x * w01
        weight[5, i] = x * w01
        weight[6, i] = far_x * w11
        weight[7, i] = x * w11


@jit
@no_type_check
def _forward(points, first, last, table, resolution, dense, mask, corners, out):
    """Features are gathered in pairs, with one read; `corners` is a tuple of length 4 or 8."""
    index = np.empty((8, BLOCK), np.uint32)
    weight = np.empty((8, BLOCK), np.float32)
    features = table.shape[1]
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _corners(points, at, n, resolution, dense, mask, index, weight)
        for f in range(0, features - 1, 2):
            out0, out1 = out[f], out[f + 1]
            for i in range(n):
                a = np.float32(0)
                b = np.float32(0)
                for k in range(len(corners)):
                    j = index[k, i]
                    w = weight[k, i]
                    a += w * table[j, f]
                    b += w * table[j, f + 1]
                out0[at + i] = a
                out1[at + i] = b
        if features % 2:
            out0 = out[features - 1]
            for i in range(n):
                a = np.float32(0)
                for k in range(len(corners)):
                    a += weight[k, i] * table[index[k, i], features - 1]
                out0[at + i] = a


@jit
@no_type_check
def _scatter(points, gradient, resolution, dense, mask, corners, out):
    """Add each point's gradient to the entries it was interpolated from."""
    num_points = points.shape[1]
    index = np.empty((8, BLOCK), np.uint32)
    weight = np.empty((8, BLOCK), np.float32)
    features = out.shape[1]
    for at in range(0, num_points, BLOCK):
        n = min(BLOCK, num_points - at)
        _corners(points, at, n, resolution, dense, mask, index, weight)
        for f in range(0, features - 1, 2):
            for i in range(n):
                a = gradient[f, at + i]
                b = gradient[f + 1, at + i]
                for k in range(len(corners)):
                    j = index[k, i]
                    w = weight[k, i]
                    out[j, f] += w * a
                    out[j, f + 1] += w * b
        if features % 2:
            for i in range(n):
                a = gradient[features - 1, at + i]
                for k in range(len(corners)):
                    out[index[k, i], features - 1] += weight[k, i] * a


@jit
@no_type_check
def _point_gradient(
    points, first, last, table, gradient, resolution, dense, mask, corners, out
):
    """Add one level's gradient with respect to the points; 0 for points outside the cube."""
    scale = np.float32(resolution)
    one = np.float32(1)
    zero = np.float32(0)
    end = np.int32(resolution - 1)
    index = np.empty((8, BLOCK), np.uint32)
    weight = np.empty((8, BLOCK), np.float32)
    value = np.zeros(8, np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _corners(points, at, n, resolution, dense, mask, index, weight)
        for i in range(n):
            for k in range(len(corners)):
                j = index[k, i]
                total = zero
                for f in range(table.shape[1]):
                    total += table[j, f] * gradient[f, at + i]
                value[k] = total
            px, py, pz = points[0, at + i], points[1, at + i], points[2, at + i]
            x = min(max(px, zero), one) * scale
            y = min(max(py, zero), one) * scale
            z = min(max(pz, zero), one) * scale
            x -= np.float32(min(np.int32(x), end))
            y -= np.float32(min(np.int32(y), end))
            z -= np.float32(min(np.int32(z), end))
            qx, qy, qz = one - x, one - y, one - z
            if zero <= px <= one:
                out[0, at + i] += scale * (
                    qz * (qy * (value[1] - value[0]) + y * (value[3] - value[2]))
                    + z * (qy * (value[5] - value[4]) + y * (value[7] - value[6]))
                )
            if zero <= py <= one:
                out[1, at + i] += scale * (
                    qz * (qx * (value[2] - value[0]) + x * (value[3] - value[1]))
                    + z * (qx * (value[6] - value[4]) + x * (value[7] - value[5]))
                )
            if zero <= pz <= one:
                out[2, at + i] += scale * (
                    qy * (qx * (value[4] - value[0]) + x * (value[5] - value[1]))
                    + y * (qx * (value[6] - value[2]) + x * (value[7] - value[3]))
                )


def _columns(points: Tensor) -> Tensor:
    """Coordinates as rows; two-dimensional points get z = 0."""
    columns = points.detach().T.contiguous()
    if len(columns) == 3:
        return columns
    return torch.cat([columns, columns.new_zeros(1, columns.shape[1])])


def _levels_by_size(layout: HashGridLayout) -> list[int]:
    """Levels with the largest tables first, so that threads finish at similar times."""
    return sorted(range(layout.num_levels), key=lambda level: -layout.sizes[level])


def hash_grid_forward(points: Tensor, table: Tensor, layout: HashGridLayout) -> Saved:
    columns, table = _columns(points), table.detach().contiguous()
    out = table.new_empty(layout.features_per_level * layout.num_levels, len(points))
    levels = _Levels(layout, table.numpy(), out.numpy())
    x, parts = columns.numpy(), shares(len(points), num_threads())
    jobs = [(level, part) for level in _levels_by_size(layout) for part in parts]
    run_threads(lambda job: levels.forward(x, *job), jobs)
    return out.T, (columns, table), (layout,)


def hash_grid_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    layout: HashGridLayout,
    columns: Tensor,
    table: Tensor,
) -> Gradients:
    x, grad_output = columns.numpy(), gradient.T.contiguous().numpy()
    point_gradient = table_gradient = None
    if needed[1]:
        table_gradient = torch.empty_like(table)
        targets = _Levels(layout, table_gradient.numpy(), grad_output)
        run_threads(lambda level: targets.scatter(x, level), _levels_by_size(layout))
    if needed[0]:
        point_gradient = torch.zeros_like(columns)
        levels, out = _Levels(layout, table.numpy(), grad_output), point_gradient.numpy()
        parts = shares(x.shape[1], num_threads())
        run_threads(lambda part: levels.differentiate(x, part, out), parts)
        point_gradient = point_gradient[: layout.dimensions].T
    return point_gradient, table_gradient


class _Levels:
    """Level-wise views of a table and the outputs, or of their gradients."""

    def __init__(self, layout: HashGridLayout, table: np.ndarray, outputs: np.ndarray):
        """`outputs` is [features of all levels, points]."""
        self.layout, self.table, self.outputs = layout, table, outputs
        self.mask = np.uint32((1 << layout.log2_table_size) - 1)
        self.corners = _corner_tuple(layout)

    def forward(self, x: np.ndarray, level: int, part: tuple[int, int]) -> None:
        rows, outputs = self._rows(level)
        _forward(x, *part, rows, *self._parameters(level), outputs)

    def scatter(self, x: np.ndarray, level: int) -> None:
        rows, outputs = self._rows(level)
        rows.fill(0)
        _scatter(x, outputs, *self._parameters(level), rows)

    def differentiate(self, x: np.ndarray, part: tuple[int, int], out: np.ndarray) -> None:
        for level in range(self.layout.num_levels):
            _point_gradient(x, *part, *self._rows(level), *self._parameters(level), out)

    def _rows(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """The level's rows of the table and of the outputs."""
        offsets, features = self.layout.offsets, self.layout.features_per_level
        return (
            self.table[offsets[level] : offsets[level + 1]],
            self.outputs[features * level : features * (level + 1)],
        )

    def _parameters(self, level: int) -> tuple[int, bool, np.uint32, tuple[int, ...]]:
        layout = self.layout
        return layout.resolutions[level], layout.dense[level], self.mask, self.corners


def _corner_tuple(layout: HashGridLayout) -> tuple[int, ...]:
    """A tuple with one element per corner, whose length is known when Numba compiles."""
    return (0,) * 2**layout.dimensions

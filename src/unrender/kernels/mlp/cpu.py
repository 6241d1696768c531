"""The network on the CPU: all layers of a block of points in cache, with blocks split over
threads.

Activations are feature-major, [features, points], so that a vector register holds one feature
of adjacent points, and a layer is a product of register tiles (`kernels/runtime/simd.py`) by
weights that stay in the first-level cache. Hidden activations, which the backward pass needs,
are kept block by block in the order in which they are read again; nothing else of a hidden
layer is written to memory.
"""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.expand.cpu import sum_along_rays
from unrender.kernels.mlp import bfloat16
from unrender.kernels.mlp.activation import before_activation
from unrender.kernels.runtime.function import Gradients, Saved, differentiable
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares
from unrender.kernels.runtime.simd import (
    INNER_TILE,
    MASK,
    PANEL,
    PLAIN,
    RELU,
    ROWS,
    copy_row,
    inner_products,
    multiply_tile,
)

PANELS = 16
"""Panels per block: with 64 features a layer takes 128 KiB, and all layers half of a cache."""
BLOCK = PANELS * PANEL
"""Points per block. Panels have one row more than features, because addresses a power of two
apart would share few sets of the cache."""


@jit
@no_type_check
def _load(rows, at, out, first_row):
    """Copy a block's columns of `rows` to panels at row `first_row`; 0 after the last point."""
    n = min(BLOCK, rows.shape[1] - at)
    for k in range(rows.shape[0]):
        if n == BLOCK:
            source = rows.ctypes.data + 4 * (k * rows.shape[1] + at)
            target = out.ctypes.data + 4 * (first_row + k) * PANEL
            for p in range(PANELS):
                copy_row(source + 4 * p * PANEL, target + 4 * p * out.shape[1] * PANEL)
        else:
            for i in range(BLOCK):
                out[i // PANEL, first_row + k, i % PANEL] = rows[k, at + i] if i < n else 0


@jit
@no_type_check
def _load_ray_inputs(values, offsets, at, out):
    """Fill a block's first rows with the ray inputs of each sample; 0 after the last sample."""
    last = min(at + BLOCK, offsets[-1])
    ray = np.searchsorted(offsets, at, "right") - 1
    i = at
    while i < last:
        end = min(offsets[ray + 1], last)
        for q in range(i - at, end - at):
            for k in range(values.shape[1]):
                out[q // PANEL, k, q % PANEL] = values[ray, k]
        i = end
        ray += 1
    for q in range(last - at, BLOCK):
        for k in range(values.shape[1]):
            out[q // PANEL, k, q % PANEL] = 0


@jit
@no_type_check
def _store(values, first_row, rows, at):
    n = min(BLOCK, rows.shape[1] - at)
    for k in range(rows.shape[0]):
        if n == BLOCK:
            source = values.ctypes.data + 4 * (first_row + k) * PANEL
            target = rows.ctypes.data + 4 * (k * rows.shape[1] + at)
            for p in range(PANELS):
                copy_row(source + 4 * p * values.shape[1] * PANEL, target + 4 * p * PANEL)
        else:
            for i in range(n):
                rows[k, at + i] = values[i // PANEL, first_row + k, i % PANEL]


@jit
@no_type_check
def _forward(
    x,
    ray_inputs,
    offsets,
    weights,
    sizes,
    first,
    last,
    hidden,
    slot,
    keep,
    inputs,
    outputs,
    out,
):
    """Compute the blocks [first, last); `hidden` has all hidden layers of each block and panel.

    It is kept for all blocks, or overwritten in one slot per thread.
    """
    layers = len(sizes) - 1
    padded = (sizes + ROWS - 1) // ROWS * ROWS
    height = hidden.shape[2] * PANEL
    for block in range(first, last):
        at = block * BLOCK
        _load_ray_inputs(ray_inputs, offsets, at, inputs)
        _load(x, at, inputs, ray_inputs.shape[1])
        weight = weights.ctypes.data
        below, below_panel = inputs.ctypes.data, inputs.shape[1] * PANEL
        target, target_panel = hidden[block if keep else slot].ctypes.data, height
        # Layers are the outer loop, so that their weights stay in the first-level cache.
        for layer in range(layers):
            rows, depth, width = padded[layer + 1], sizes[layer], padded[layer]
            if layer == layers - 1:
                target, target_panel = outputs.ctypes.data, outputs.shape[1] * PANEL
            for p in range(PANELS):
                b = below + 4 * p * below_panel
                for j in range(0, rows, ROWS):
                    w, c = weight + 4 * j * width, target + 4 * (p * target_panel + j * PANEL)
                    if layer == layers - 1:
                        multiply_tile(w, width, 1, b, c, depth, 0, PLAIN)
                    else:
                        multiply_tile(w, width, 1, b, c, depth, 0, RELU)
            weight += 4 * rows * width
            below, below_panel = target, target_panel
            target += 4 * rows * PANEL
        _store(outputs, 0, out, at)


@jit
@no_type_check
def _backward(  # noqa: PLR0912 - the branches are those of one loop
    x,
    ray_inputs,
    offsets,
    weights,
    sizes,
    first,
    last,
    hidden,
    grad_output,
    inputs,
    g_out,
    g_hidden,
    g_in,
    totals,
    need_ray_inputs,
    grad_ray_inputs,
    need_x,
    grad_x,
):
    """Add the weights' gradients to `totals`, layer by layer, in tiles of inner products."""
    first_needed = 0 if need_ray_inputs else ray_inputs.shape[1] // ROWS * ROWS
    layers = len(sizes) - 1
    padded = (sizes + ROWS - 1) // ROWS * ROWS
    height = hidden.shape[2] * PANEL
    for block in range(first, last):
        at = block * BLOCK
        _load_ray_inputs(ray_inputs, offsets, at, inputs)
        _load(x, at, inputs, ray_inputs.shape[1])
        _load(grad_output, at, g_out, 0)
        # These addresses move backward, from the end of each array.
        weight = weights.ctypes.data + 4 * len(weights)
        total = totals.ctypes.data + 4 * len(weights)
        value = hidden[block].ctypes.data + 4 * (height - PANEL)
        gradient = g_hidden.ctypes.data + 4 * (height - PANEL)
        g, g_panel, value_panel = g_out.ctypes.data, g_out.shape[1] * PANEL, height
        for layer in range(layers - 1, -1, -1):
            rows, depth, width = padded[layer + 1], sizes[layer + 1], padded[layer]
            weight -= 4 * rows * width
            total -= 4 * rows * width
            if layer > 0:
                value -= 4 * width * PANEL
                gradient -= 4 * width * PANEL
            else:
                value, gradient = inputs.ctypes.data, g_in.ctypes.data
                value_panel = inputs.shape[1] * PANEL
            for j in range(0, rows, INNER_TILE[0]):
                for k in range(0, width, INNER_TILE[1]):
                    left, right = g + 4 * j * PANEL, value + 4 * k * PANEL
                    c = total + 4 * (j * width + k * INNER_TILE[0])
                    inner_products(left, g_panel, right, value_panel, c, PANELS)
            if layer == 0 and not need_x and not need_ray_inputs:
                continue
            for p in range(PANELS):
                b = g + 4 * p * g_panel
                for k in range(0 if layer > 0 else first_needed, width, ROWS):
                    w, o = weight + 4 * k, 4 * (p * value_panel + k * PANEL)
                    if layer > 0:
                        m = value + o
                        multiply_tile(w, 1, width, b, gradient + o, depth, m, MASK)
                    else:
                        multiply_tile(w, 1, width, b, gradient + o, depth, 0, PLAIN)
            g, g_panel = gradient, value_panel
        if need_ray_inputs:
            _store(g_in, 0, grad_ray_inputs, at)
        if need_x:
            _store(g_in, ray_inputs.shape[1], grad_x, at)


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: str,
    precision: str,
    ray_inputs: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if precision == "bfloat16":
        return bfloat16.mlp(x, weights, activation, ray_inputs)
    values, offsets = ray_inputs or (x.new_empty(1, 0), torch.tensor([0, len(x)]))
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, values, *weights))
    inputs = x, values, offsets, activation, keep
    return differentiable(_mlp_forward, _mlp_backward, *inputs, *weights)


def _padded(size: int) -> int:
    return (size + ROWS - 1) // ROWS * ROWS


def _panels(size: int) -> np.ndarray:
    """Memory for a block, allocated by torch, whose arrays are aligned for vector registers.

    The rows after `size`, which fill up a tile, are 0.
    """
    panels = torch.empty(PANELS, _padded(size) + 1, PANEL)
    panels[:, size:] = 0
    return panels.numpy()


def _packed(weights: Sequence[Tensor]) -> np.ndarray:
    """All weights in one array, with rows and columns zero-padded to whole tiles."""
    parts: list[np.ndarray] = []
    for weight in weights:
        rows, columns = weight.shape
        part = np.zeros((_padded(rows), _padded(columns)), np.float32)
        part[:rows, :columns] = weight.detach().numpy()
        parts.append(part.ravel())
    return np.concatenate(parts)


def _unpacked(tiles: np.ndarray, weights: Sequence[Tensor]) -> list[Tensor]:
    """Convert tiles of inner products back to the weights' shapes."""
    parts: list[Tensor] = []
    at = 0
    for weight in weights:
        rows, columns = _padded(weight.shape[0]), _padded(weight.shape[1])
        part = tiles[at : at + rows * columns]
        high, wide = INNER_TILE
        part = part.reshape(rows // high, columns // wide, high, wide).swapaxes(1, 2)
        part = torch.from_numpy(part.reshape(rows, columns))
        parts.append(part[: weight.shape[0], : weight.shape[1]].contiguous())
        at += rows * columns
    return parts


def _mlp_forward(
    x: Tensor,
    ray_inputs: Tensor,
    offsets: Tensor,
    activation: str,
    keep: bool,
    *weights: Tensor,
) -> Saved:
    rows, ray_inputs, offsets = (
        x.detach().T.contiguous(),
        ray_inputs.contiguous(),
        offsets.contiguous(),
    )
    num_points = rows.shape[1]
    sizes = np.array([weights[0].shape[1], *(len(weight) for weight in weights)])
    packed = _packed(weights)
    blocks = -(-num_points // BLOCK)
    parts = shares(blocks, num_threads())
    num_hidden = sum(_padded(int(size)) for size in sizes[1:-1])
    hidden = rows.new_empty(blocks if keep else len(parts), PANELS, num_hidden + 1, PANEL)
    out = rows.new_empty(int(sizes[-1]), num_points)
    inputs = [tensor.detach().numpy() for tensor in (rows, ray_inputs, offsets)]
    kept, target = hidden.numpy(), out.numpy()

    heights = int(sizes[0]), int(sizes[-1])
    run_threads(
        lambda slot: _forward(
            *inputs, packed, sizes, *parts[slot], kept, slot, keep,
            *map(_panels, heights), target,
        ),
        range(len(parts)),
    )  # fmt: skip
    if activation == "relu":
        out.relu_()
    elif activation == "sigmoid":
        out.sigmoid_()
    result = out if activation != "none" else None
    kept_tensors = (rows, ray_inputs, offsets, hidden, result, *weights) if keep else ()
    return out.T, kept_tensors, (activation,)


def _mlp_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    activation: str,
    rows: Tensor,
    ray_inputs: Tensor,
    offsets: Tensor,
    hidden: Tensor,
    out: Tensor | None,
    *weights: Tensor,
) -> Gradients:
    grad_output = before_activation(gradient.T, out, activation).contiguous()
    sizes = np.array([weights[0].shape[1], *(len(weight) for weight in weights)])
    packed = _packed(weights)
    parts = shares(len(hidden), num_threads())
    totals = np.zeros((len(parts), len(packed)), np.float32)
    need_x, need_ray_inputs = needed[:2]
    grad_x = torch.empty_like(rows) if need_x else rows
    grad_ray_inputs = rows.new_empty(
        ray_inputs.shape[1], rows.shape[1] if need_ray_inputs else 0
    )
    inputs = [tensor.detach().numpy() for tensor in (rows, ray_inputs, offsets)]
    kept, grad_array = hidden.numpy(), grad_output.numpy()
    requested = need_ray_inputs, grad_ray_inputs.numpy(), need_x, grad_x.numpy()
    first, last = int(sizes[0]), int(sizes[-1])
    heights = first, last, hidden.shape[2] - 1, first
    run_threads(
        lambda slot: _backward(
            *inputs, packed, sizes, *parts[slot], kept, grad_array,
            *map(_panels, heights), totals[slot], *requested,
        ),
        range(len(parts)),
    )  # fmt: skip
    # Summed in a fixed order, so that the result does not depend on timing.
    g_weights = _unpacked(totals.sum(0), weights)
    return (
        grad_x.T if need_x else None,
        sum_along_rays(grad_ray_inputs.T, offsets) if need_ray_inputs else None,
        *(None, None, None),
        *g_weights,
    )

"""Splatting on the CPU: tile by tile, one row of a tile's pixels at a time.

Gaussians are sorted by depth once and binned into the tiles that they overlap, which keeps the
order. A Gaussian is evaluated only on the rows that it can reach; along a row LLVM vectorizes
the loop, which is why the exponential is a polynomial (see kernels/composite/cpu.py).

The backward pass goes from front to back again. With weight w_i = T_i α_i and q_i the gradient
of the loss with respect to the weight, ∂/∂α_i = T_i q_i − Σ_{j > i} w_j q_j / (1 − α_i), where
the sum over the Gaussians behind is the total minus the sum in front. Gradients are written to
one row per pair of tile and Gaussian and then summed per Gaussian, without atomics and in a
fixed order.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares
from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, SPLAT_SIZE

TILE = 16
"""Width and height of a tile in pixels: one or two vector registers."""
CHECK_INTERVAL = 16
"""Number of Gaussians after which a tile checks whether all its pixels have ended."""


@jit
@no_type_check
def _boxes(splats, order, width, height, out):
    """Bounding box of each Gaussian in pixels, [x0, x1) × [y0, y1)."""
    for k in range(len(order)):
        s = splats[order[k]]
        x, y, a, b, c, opacity = s[0], s[1], s[2], s[3], s[4], s[8]
        out[k, :] = 0
        determinant = a * c - b * b
        if not (opacity >= MIN_ALPHA and determinant > 0):
            continue
        # α equals MIN_ALPHA where dᵀ C d has this value.
        level = 2 * np.log(opacity / MIN_ALPHA)
        half_x, half_y = np.sqrt(level * c / determinant), np.sqrt(level * a / determinant)
        left, right = np.ceil(x - half_x - 0.5), np.floor(x + half_x - 0.5) + 1
        top, bottom = np.ceil(y - half_y - 0.5), np.floor(y + half_y - 0.5) + 1
        if left < width and right > 0 and top < height and bottom > 0:
            out[k, 0] = max(left, 0)
            out[k, 1] = min(right, width)
            out[k, 2] = max(top, 0)
            out[k, 3] = min(bottom, height)


@jit
@no_type_check
def _count(boxes, tiles_x, counts):
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    counts[v * tiles_x + u] += 1


@jit
@no_type_check
def _bin_splats(boxes, tiles_x, cursor, entries):
    """Write each tile's Gaussians in order; `cursor` starts at the first entry of each tile."""
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    tile = v * tiles_x + u
                    entries[cursor[tile]] = k
                    cursor[tile] += 1


@inline
@no_type_check
def _alphas(x, dy, a, b, c, opacity, bits, power, left, falloff, alpha):
    """For one row of pixels: exp(−½ dᵀ C d), and α with both limits applied."""
    for i in range(TILE):
        dx = left + np.float32(i) - x
        z = np.float32(-0.5) * (a * dx * dx + c * dy * dy) - b * dx * dy
        z = min(max(z, np.float32(-87)), np.float32(0))
        whole = np.floor(z * np.float32(1.44269504) + np.float32(0.5))
        bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
        z -= whole * np.float32(0.693147181)
        p = np.float32(1.98756915e-4)
        p = p * z + np.float32(1.39819995e-3)
        p = p * z + np.float32(8.33345191e-3)
        p = p * z + np.float32(4.16657959e-2)
        p = p * z + np.float32(1.66666655e-1)
        p = p * z + np.float32(5.00000012e-1)
        falloff[i] = p * z * z + z + np.float32(1)
    for i in range(TILE):
        falloff[i] *= power[i]
        value = min(opacity * falloff[i], np.float32(MAX_ALPHA))
        alpha[i] = value if value >= np.float32(MIN_ALPHA) else np.float32(0)


@jit
@no_type_check
def _forward(splats, order, boxes, starts, entries, tiles_x, width, height, first, last, out):
    """Fill out, [5, height, width]: red, green, blue, opacity and depth, of some tiles."""
    zero = np.float32(0)
    one = np.float32(1)
    bits = np.empty(TILE, np.int32)
    power = bits.view(np.float32)
    falloff, alpha = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    transmittance = np.empty((TILE, TILE), np.float32)
    sums = np.empty((4, TILE, TILE), np.float32)
    for tile in range(first, last):
        row, column = tile // tiles_x * TILE, tile % tiles_x * TILE
        rows, columns = min(TILE, height - row), min(TILE, width - column)
        left = np.float32(column) + np.float32(0.5)
        transmittance[:] = one
        sums[:] = zero
        for at in range(starts[tile], starts[tile + 1]):
            if (at - starts[tile]) % CHECK_INTERVAL == CHECK_INTERVAL - 1 and transmittance[
                :rows
            ].max() < MIN_TRANSMITTANCE:
                break
            k = entries[at]
            s = splats[order[k]]
            x, y, a, b, c, red, green, blue, opacity, depth = s
            for j in range(max(boxes[k, 2] - row, 0), min(boxes[k, 3] - row, rows)):
                dy = np.float32(row + j) + np.float32(0.5) - y
                _alphas(x, dy, a, b, c, opacity, bits, power, left, falloff, alpha)
                for i in range(TILE):
                    t = transmittance[j, i]
                    weight = t * alpha[i] if t >= np.float32(MIN_TRANSMITTANCE) else zero
                    transmittance[j, i] = t - weight
                    sums[0, j, i] += weight * red
                    sums[1, j, i] += weight * green
                    sums[2, j, i] += weight * blue
                    sums[3, j, i] += weight * depth
        for j in range(rows):
            for i in range(columns):
                for channel in range(3):
                    out[channel, row + j, column + i] = sums[channel, j, i]
                out[3, row + j, column + i] = one - transmittance[j, i]
                out[4, row + j, column + i] = sums[3, j, i]


@jit
@no_type_check
def _backward(
    splats,
    order,
    boxes,
    starts,
    entries,
    tiles_x,
    width,
    height,
    image,
    grad_output,
    first,
    last,
    out,
):
    """Fill out, [entries, SPLAT_SIZE], with the gradients of each pair of tile and Gaussian."""
    zero = np.float32(0)
    one = np.float32(1)
    half = np.float32(0.5)
    bits = np.empty(TILE, np.int32)
    power = bits.view(np.float32)
    falloff, alpha = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    transmittance, behind = (
        np.empty((TILE, TILE), np.float32),
        np.empty((TILE, TILE), np.float32),
    )
    grad_pixel = np.empty((5, TILE, TILE), np.float32)
    for tile in range(first, last):
        row, column = tile // tiles_x * TILE, tile % tiles_x * TILE
        rows, columns = min(TILE, height - row), min(TILE, width - column)
        left = np.float32(column) + half
        transmittance[:] = one
        grad_pixel[:] = zero
        behind[:] = zero
        for j in range(rows):
            for i in range(columns):
                for channel in range(5):
                    g = grad_output[channel, row + j, column + i]
                    grad_pixel[channel, j, i] = g
                    behind[j, i] += g * image[channel, row + j, column + i]
        done = False
        for at in range(starts[tile], starts[tile + 1]):
            out[at, :] = zero
            if done:
                continue
            if (at - starts[tile]) % CHECK_INTERVAL == CHECK_INTERVAL - 1 and transmittance[
                :rows
            ].max() < MIN_TRANSMITTANCE:
                done = True
                continue
            k = entries[at]
            s = splats[order[k]]
            x, y, a, b, c, red, green, blue, opacity, depth = s
            g_x = g_y = g_a = g_b = g_c = g_opacity = zero
            g_red = g_green = g_blue = g_depth = zero
            for j in range(max(boxes[k, 2] - row, 0), min(boxes[k, 3] - row, rows)):
                dy = np.float32(row + j) + half - y
                _alphas(x, dy, a, b, c, opacity, bits, power, left, falloff, alpha)
                for i in range(TILE):
                    t = transmittance[j, i]
                    weight = t * alpha[i] if t >= np.float32(MIN_TRANSMITTANCE) else zero
                    value = red * grad_pixel[0, j, i] + green * grad_pixel[1, j, i]
                    value += (
                        blue * grad_pixel[2, j, i]
                        + grad_pixel[3, j, i]
                        + depth * grad_pixel[4, j, i]
                    )
                    remaining = behind[j, i] - weight * value
                    transmittance[j, i] = t - weight
                    behind[j, i] = remaining
                    g_red += weight * grad_pixel[0, j, i]
                    g_green += weight * grad_pixel[1, j, i]
                    g_blue += weight * grad_pixel[2, j, i]
                    g_depth += weight * grad_pixel[4, j, i]
                    grad_alpha = t * value - remaining / (one - alpha[i])
                    # Clamped α has no gradient.
                    counts = weight > zero and alpha[i] < np.float32(MAX_ALPHA)
                    grad_alpha = grad_alpha if counts else zero
                    g_opacity += grad_alpha * falloff[i]
                    grad_power = grad_alpha * alpha[i]
                    dx = left + np.float32(i) - x
                    g_x += grad_power * (a * dx + b * dy)
                    g_y += grad_power * (b * dx + c * dy)
                    g_a -= half * grad_power * dx * dx
                    g_b -= grad_power * dx * dy
                    g_c -= half * grad_power * dy * dy
            out[at, 0] = g_x
            out[at, 1] = g_y
            out[at, 2] = g_a
            out[at, 3] = g_b
            out[at, 4] = g_c
            out[at, 5] = g_red
            out[at, 6] = g_green
            out[at, 7] = g_blue
            out[at, 8] = g_opacity
            out[at, 9] = g_depth


@jit
@no_type_check
def _sum_entries(parts, entries, order, first, last, out):
    """Sum the columns [first, last) of the entries' gradients per Gaussian."""
    for at in range(len(entries)):
        splat = order[entries[at]]
        for column in range(first, last):
            out[splat, column] += parts[at, column]


def splat_forward(splats: Tensor, width: int, height: int) -> Saved:
    values = splats.detach().numpy()
    order = values[:, 9].argsort(kind="stable")
    boxes = np.empty((len(order), 4), np.int32)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    run_threads(
        lambda share: _boxes(values, order[slice(*share)], width, height, boxes[slice(*share)]),
        shares(len(order), num_threads()),
    )
    starts = np.zeros(tiles_x * tiles_y + 1, np.int64)
    _count(boxes, tiles_x, starts[1:])
    starts = starts.cumsum()
    entries = np.empty(starts[-1], np.int32)
    _bin_splats(boxes, tiles_x, starts[:-1].copy(), entries)
    image = torch.empty(5, height, width)
    arrays = values, order, boxes, starts, entries, tiles_x, width, height
    target = image.numpy()
    # More parts than threads, because tiles differ in their number of Gaussians.
    run_threads(
        lambda share: _forward(*arrays, *share, target),
        shares(tiles_x * tiles_y, 8 * num_threads()),
    )
    return image, (splats, image), (arrays,)


def splat_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    arrays: tuple[Any, ...],
    splats: Tensor,
    image: Tensor,
) -> Gradients:
    _, order, _, starts, entries, *_ = arrays
    grad_output = gradient.contiguous().numpy()
    parts = np.empty((len(entries), SPLAT_SIZE), np.float32)
    run_threads(
        lambda share: _backward(*arrays, image.numpy(), grad_output, *share, parts),
        shares(len(starts) - 1, 8 * num_threads()),
    )
    out = torch.zeros_like(splats)
    target = out.numpy()
    run_threads(
        lambda share: _sum_entries(parts, entries, order, *share, target),
        shares(SPLAT_SIZE, num_threads()),
    )
    return (out,)

"""Splatting on the CPU: tile by tile, a row of a tile's pixels at a time.

Sorted by depth once, the Gaussians are handed to the tiles that they touch, each of which then
has its own in order. A Gaussian passes only over the rows that it can reach; along a row LLVM
takes many pixels at once, which the polynomial exponential is for (see composite/cpu.py).

The derivatives, from front to back again: with weight w_i = T_i α_i and q_i what the gradient
from above makes of it, ∂/∂α_i = T_i q_i − Σ_{j > i} w_j q_j / (1 − α_i), where the sum behind
is the whole less what is in front. They come into a row for each pair of tile and Gaussian, and
are added up Gaussian by Gaussian: no atomics, and the same sum every time.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares
from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, NUMBERS, STOP

TILE = 16
"""Pixels a side of a tile: one or two vector registers."""
CHECK = 16
"""Gaussians after which a tile looks whether any light is left."""


@jit
@no_type_check
def _boxes(splats, order, width, height, out):
    """The rows and columns of pixels that each Gaussian can reach, [x0, x1) × [y0, y1)."""
    for k in range(len(order)):
        s = splats[order[k]]
        x, y, a, b, c, opacity = s[0], s[1], s[2], s[3], s[4], s[8]
        out[k, :] = 0
        determinant = a * c - b * b
        if not (opacity >= MIN_ALPHA and determinant > 0):
            continue
        # α falls to MIN_ALPHA where dᵀ C d is this.
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
def _count(boxes, across, counts):
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    counts[v * across + u] += 1


@jit
@no_type_check
def _hand_out(boxes, across, places, entries):
    """Each tile's Gaussians, in order; `places` begins at each tile's first."""
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    tile = v * across + u
                    entries[places[tile]] = k
                    places[tile] += 1


@inline
@no_type_check
def _alphas(x, dy, a, b, c, opacity, bits, power, left, falloff, alpha):
    """Of one row's pixels: exp(−½ dᵀ C d), and α with both of its limits."""
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
def _forward(splats, order, boxes, starts, entries, across, width, height, first, last, out):
    """out: [5, height, width]: red, green, blue, opacity, depth."""
    zero = np.float32(0)
    one = np.float32(1)
    bits = np.empty(TILE, np.int32)
    power = bits.view(np.float32)
    falloff, alpha = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    light = np.empty((TILE, TILE), np.float32)
    sums = np.empty((4, TILE, TILE), np.float32)
    for tile in range(first, last):
        row, column = tile // across * TILE, tile % across * TILE
        rows, columns = min(TILE, height - row), min(TILE, width - column)
        left = np.float32(column) + np.float32(0.5)
        light[:] = one
        sums[:] = zero
        for at in range(starts[tile], starts[tile + 1]):
            if (at - starts[tile]) % CHECK == CHECK - 1 and light[:rows].max() < STOP:
                break
            k = entries[at]
            s = splats[order[k]]
            x, y, a, b, c, red, green, blue, opacity, depth = s
            for j in range(max(boxes[k, 2] - row, 0), min(boxes[k, 3] - row, rows)):
                dy = np.float32(row + j) + np.float32(0.5) - y
                _alphas(x, dy, a, b, c, opacity, bits, power, left, falloff, alpha)
                for i in range(TILE):
                    t = light[j, i]
                    weight = t * alpha[i] if t >= np.float32(STOP) else zero
                    light[j, i] = t - weight
                    sums[0, j, i] += weight * red
                    sums[1, j, i] += weight * green
                    sums[2, j, i] += weight * blue
                    sums[3, j, i] += weight * depth
        for j in range(rows):
            for i in range(columns):
                for channel in range(3):
                    out[channel, row + j, column + i] = sums[channel, j, i]
                out[3, row + j, column + i] = one - light[j, i]
                out[4, row + j, column + i] = sums[3, j, i]


@jit
@no_type_check
def _backward(
    splats, order, boxes, starts, entries, across, width, height, image, above, first, last, out
):
    """out: [entries, NUMBERS], in the order of a Gaussian's numbers."""
    zero = np.float32(0)
    one = np.float32(1)
    half = np.float32(0.5)
    bits = np.empty(TILE, np.int32)
    power = bits.view(np.float32)
    falloff, alpha = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    light, behind = np.empty((TILE, TILE), np.float32), np.empty((TILE, TILE), np.float32)
    given = np.empty((5, TILE, TILE), np.float32)
    for tile in range(first, last):
        row, column = tile // across * TILE, tile % across * TILE
        rows, columns = min(TILE, height - row), min(TILE, width - column)
        left = np.float32(column) + half
        light[:] = one
        given[:] = zero
        behind[:] = zero
        for j in range(rows):
            for i in range(columns):
                for channel in range(5):
                    g = above[channel, row + j, column + i]
                    given[channel, j, i] = g
                    behind[j, i] += g * image[channel, row + j, column + i]
        done = False
        for at in range(starts[tile], starts[tile + 1]):
            out[at, :] = zero
            if done:
                continue
            if (at - starts[tile]) % CHECK == CHECK - 1 and light[:rows].max() < STOP:
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
                    t = light[j, i]
                    weight = t * alpha[i] if t >= np.float32(STOP) else zero
                    value = red * given[0, j, i] + green * given[1, j, i]
                    value += blue * given[2, j, i] + given[3, j, i] + depth * given[4, j, i]
                    rest = behind[j, i] - weight * value
                    light[j, i] = t - weight
                    behind[j, i] = rest
                    g_red += weight * given[0, j, i]
                    g_green += weight * given[1, j, i]
                    g_blue += weight * given[2, j, i]
                    g_depth += weight * given[4, j, i]
                    by_alpha = t * value - rest / (one - alpha[i])
                    # α that is cut off at either end moves with nothing.
                    counts = weight > zero and alpha[i] < np.float32(MAX_ALPHA)
                    by_alpha = by_alpha if counts else zero
                    g_opacity += by_alpha * falloff[i]
                    by_power = by_alpha * alpha[i]
                    dx = left + np.float32(i) - x
                    g_x += by_power * (a * dx + b * dy)
                    g_y += by_power * (b * dx + c * dy)
                    g_a -= half * by_power * dx * dx
                    g_b -= by_power * dx * dy
                    g_c -= half * by_power * dy * dy
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
def _add_up(parts, entries, order, first, last, out):
    """The columns [first, last) of the entries' derivatives, by Gaussian."""
    for at in range(len(entries)):
        splat = order[entries[at]]
        for column in range(first, last):
            out[splat, column] += parts[at, column]


def splat(
    splats: Float[Tensor, "splats 10"], width: int, height: int
) -> Float[Tensor, "5 {height} {width}"]:
    return _Splat.apply(splats, width, height)  # pyright: ignore[reportReturnType]


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, splats: Tensor, width: int, height: int) -> Tensor:
        numbers = splats.detach().numpy()
        order = numbers[:, 9].argsort(kind="stable")
        boxes = np.empty((len(order), 4), np.int32)
        across, down = -(-width // TILE), -(-height // TILE)
        run_threads(
            lambda share: _boxes(
                numbers, order[slice(*share)], width, height, boxes[slice(*share)]
            ),
            shares(len(order), num_threads()),
        )
        starts = np.zeros(across * down + 1, np.int64)
        _count(boxes, across, starts[1:])
        starts = starts.cumsum()
        entries = np.empty(starts[-1], np.int32)
        _hand_out(boxes, across, starts[:-1].copy(), entries)
        image = torch.empty(5, height, width)
        arrays = numbers, order, boxes, starts, entries, across, width, height
        target = image.numpy()
        # More shares than threads: tiles differ in what they hold.
        run_threads(
            lambda share: _forward(*arrays, *share, target),
            shares(across * down, 8 * num_threads()),
        )
        ctx.arrays = arrays
        ctx.save_for_backward(splats, image)
        return image

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        splats, image = ctx.saved_tensors
        _, order, _, starts, entries, *_ = ctx.arrays
        above = gradients[0].contiguous().numpy()
        parts = np.empty((len(entries), NUMBERS), np.float32)
        run_threads(
            lambda share: _backward(*ctx.arrays, image.numpy(), above, *share, parts),
            shares(len(starts) - 1, 8 * num_threads()),
        )
        out = torch.zeros_like(splats)
        target = out.numpy()
        run_threads(
            lambda share: _add_up(parts, entries, order, *share, target),
            shares(NUMBERS, num_threads()),
        )
        return out, None, None

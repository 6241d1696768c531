"""Compositing on the CPU: one pass along each ray forward, two backward.

The exponentials are computed first, in blocks, and kept for the backward pass. With optical
depth d_i, weight w_i = T_i (1 − exp(−d_i)) and T_{i+1} = T_i exp(−d_i), the derivative of Σ w_i
q_i with respect to d_i is T_{i+1} q_i − Σ_{j > i} w_j q_j. Here q_i is the gradient of the loss
with respect to the weight: by itself, color, opacity and distance, and by the distortion, whose
gradient 2 Σ_j w_j |m_i − m_j| + 2/3 w_i (e_i − s_i) is computed from running sums of w and w m.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares

BLOCK = 256
"""Number of samples whose exponentials are computed together."""


@jit
@no_type_check
def _transmittances(density, starts, ends, first, last, out):
    """Transmittance exp(−density × length) of each bin.

    It uses float32 arithmetic alone, so that LLVM vectorizes it: 2ⁿ from the bits of n, and a
    polynomial for the remainder (Moshier, Cephes mathematical library, expf).
    """
    bits = np.empty(BLOCK, np.int32)
    power = bits.view(np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        d, a, b = density[at : at + n], starts[at : at + n], ends[at : at + n]
        value = out[at : at + n]
        for i in range(n):
            x = max(-d[i] * (b[i] - a[i]), np.float32(-87))
            whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
            bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
            x -= whole * np.float32(0.693147181)
            y = np.float32(1.98756915e-4)
            y = y * x + np.float32(1.39819995e-3)
            y = y * x + np.float32(8.33345191e-3)
            y = y * x + np.float32(4.16657959e-2)
            y = y * x + np.float32(1.66666655e-1)
            y = y * x + np.float32(5.00000012e-1)
            value[i] = y * x * x + x + np.float32(1)
        for i in range(n):
            value[i] *= power[i]


@jit
@no_type_check
def _forward(
    density,
    color,
    starts,
    ends,
    offsets,
    early_stop_eps,
    first,
    last,
    transmittances,
    out_color,
    out,
    distance,
    distortion,
    weights,
):
    colored = color.shape[1] > 0
    zero = np.float32(0)
    one = np.float32(1)
    half = np.float32(0.5)
    third = np.float32(1 / 3)
    _transmittances(density, starts, ends, offsets[first], offsets[last], transmittances)
    for r in range(first, last):
        transmittance = one
        red = green = blue = weighted_distance = spread = zero
        for i in range(offsets[r], offsets[r + 1]):
            if transmittance < early_stop_eps:
                weights[i : offsets[r + 1]] = zero
                break
            after = transmittance * transmittances[i]
            weight = transmittance - after
            midpoint = (starts[i] + ends[i]) * half
            front = midpoint * (one - transmittance) - weighted_distance
            spread += weight * (front + front + weight * (ends[i] - starts[i]) * third)
            transmittance = after
            weights[i] = weight
            if colored:
                red += weight * color[0, i]
                green += weight * color[1, i]
                blue += weight * color[2, i]
            weighted_distance += weight * midpoint
        out_color[r, 0] = red
        out_color[r, 1] = green
        out_color[r, 2] = blue
        out[r] = one - transmittance
        distance[r] = weighted_distance
        distortion[r] = spread


@jit
@no_type_check
def _backward(
    color,
    starts,
    ends,
    offsets,
    transmittances,
    early_stop_eps,
    opacity,
    distance,
    first,
    last,
    g_color,
    g_opacity,
    g_distance,
    g_distortion,
    g_weights,
    out_density,
    out_color,
):
    colored, weighted = color.shape[1] > 0, len(g_weights) > 0
    zero = np.float32(0)
    one = np.float32(1)
    two = np.float32(2)
    half = np.float32(0.5)
    third = np.float32(1 / 3)
    for r in range(first, last):
        red, green, blue = g_color[r, 0], g_color[r, 1], g_color[r, 2]
        g_spread = two * g_distortion[r]
        end = offsets[r + 1]
        transmittance = one
        behind = weighted_distance = zero
        for i in range(offsets[r], offsets[r + 1]):
            if transmittance < early_stop_eps:
                out_density[i:end] = zero
                if colored:
                    out_color[:, i:end] = zero
                end = i
                break
            after = transmittance * transmittances[i]
            weight = transmittance - after
            midpoint = (starts[i] + ends[i]) * half
            value = g_opacity[r] + g_distance[r] * midpoint
            if colored:
                value += red * color[0, i] + green * color[1, i] + blue * color[2, i]
            if weighted:
                value += g_weights[i]
            # Sums of weights and of weighted midpoints in front, then behind.
            front, front_middles = one - transmittance, weighted_distance
            back = opacity[r] - front - weight
            back_middles = distance[r] - weighted_distance - weight * midpoint
            spread = midpoint * (front - back) - front_middles + back_middles
            value += g_spread * (spread + weight * (ends[i] - starts[i]) * third)
            weighted_distance += weight * midpoint
            behind += weight * value
            transmittance = after
            if colored:
                out_color[0, i] = weight * red
                out_color[1, i] = weight * green
                out_color[2, i] = weight * blue
            # Kept for the second pass, which needs the sum over the samples behind.
            out_density[i] = value
        transmittance = one
        for i in range(offsets[r], end):
            after = transmittance * transmittances[i]
            value = out_density[i]
            behind -= (transmittance - after) * value
            transmittance = after
            out_density[i] = (after * value - behind) * (ends[i] - starts[i])


def composite_forward(
    density: Tensor,
    color: Tensor | None,
    starts: Tensor,
    ends: Tensor,
    offsets: Tensor,
    early_stop_eps: float,
) -> Saved:
    inputs = (
        density.detach().contiguous(),
        density.new_empty(3, 0) if color is None else color.detach().T.contiguous(),
        starts.detach().contiguous(),
        ends.detach().contiguous(),
        offsets.contiguous(),
    )
    num_rays = len(offsets) - 1
    colors = density.new_empty(num_rays, 3)
    sums = [density.new_empty(num_rays) for _ in range(3)]
    transmittances, weights = torch.empty_like(inputs[0]), torch.empty_like(inputs[0])
    arrays = [tensor.numpy() for tensor in inputs]
    targets = [tensor.numpy() for tensor in (transmittances, colors, *sums, weights)]
    run_threads(
        lambda share: _forward(*arrays, np.float32(early_stop_eps), *share, *targets),
        shares(num_rays, num_threads()),
    )
    kept = *inputs[1:], transmittances, *sums[:2]
    return (colors, *sums, weights), kept, (early_stop_eps,)


def composite_backward(
    gradients: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
    early_stop_eps: float,
    *kept: Tensor,
) -> Gradients:
    *inputs, opacity, distance = kept
    arrays = [tensor.numpy() for tensor in inputs]
    sums = [opacity.numpy(), distance.numpy()]
    zeros = opacity.new_zeros(len(opacity), 3), *[torch.zeros_like(opacity)] * 3
    # Weights that nothing depends on are told by an empty gradient.
    absent = *zeros, opacity.new_empty(0)
    grad_outputs = [
        (zero if gradient is None else gradient.contiguous()).numpy()
        for gradient, zero in zip(gradients, absent, strict=True)
    ]
    g_density, g_color = torch.empty_like(inputs[-1]), torch.empty_like(inputs[0])
    targets = [g_density.numpy(), g_color.numpy()]
    run_threads(
        lambda share: _backward(
            *arrays, np.float32(early_stop_eps), *sums, *share, *grad_outputs, *targets
        ),
        shares(len(opacity), num_threads()),
    )
    return g_density, g_color.T if needed[1] else None

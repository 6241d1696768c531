"""Compositing on the CPU: one pass along each ray forward, two backward.

With optical depth d_i, weight w_i = T_i (1 − exp(−d_i)) and T_{i+1} = T_i exp(−d_i), the
derivative of Σ w_i q_i with respect to d_i is T_{i+1} q_i − Σ_{j > i} w_j q_j. Here q_i is what
the gradient from above makes of the weight: by colour, opacity and distance, and by distortion
2 Σ_j w_j |m_i − m_j| + 2/3 w_i (e_i − s_i), which running sums of w and w m give.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _forward(
    density,
    color,
    starts,
    ends,
    offsets,
    stop,
    first,
    last,
    out_color,
    out,
    distance,
    distortion,
):
    zero = np.float32(0)
    one = np.float32(1)
    half = np.float32(0.5)
    third = np.float32(1 / 3)
    for r in range(first, last):
        transmittance = one
        red = green = blue = far = spread = zero
        for i in range(offsets[r], offsets[r + 1]):
            if transmittance < stop:
                break
            length = ends[i] - starts[i]
            after = transmittance * np.exp(-density[i] * length)
            weight = transmittance - after
            middle = (starts[i] + ends[i]) * half
            spread += weight * (
                (one + one) * (middle * (one - transmittance) - far) + weight * length * third
            )
            transmittance = after
            red += weight * color[0, i]
            green += weight * color[1, i]
            blue += weight * color[2, i]
            far += weight * middle
        out_color[r, 0] = red
        out_color[r, 1] = green
        out_color[r, 2] = blue
        out[r] = one - transmittance
        distance[r] = far
        distortion[r] = spread


@jit
@no_type_check
def _backward(
    density,
    color,
    starts,
    ends,
    offsets,
    stop,
    opacity,
    distance,
    first,
    last,
    g_color,
    g_opacity,
    g_distance,
    g_distortion,
    out_density,
    out_color,
):
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
        total = far = zero
        for i in range(offsets[r], offsets[r + 1]):
            if transmittance < stop:
                for j in range(i, end):
                    out_color[0, j] = out_color[1, j] = out_color[2, j] = zero
                    out_density[j] = zero
                end = i
                break
            length = ends[i] - starts[i]
            after = transmittance * np.exp(-density[i] * length)
            weight = transmittance - after
            middle = (starts[i] + ends[i]) * half
            value = red * color[0, i] + green * color[1, i] + blue * color[2, i]
            value += g_opacity[r] + g_distance[r] * middle
            # Weight and weighted middles in front, then those behind.
            front, front_middles = one - transmittance, far
            back = opacity[r] - front - weight
            back_middles = distance[r] - far - weight * middle
            spread = middle * (front - back) - front_middles + back_middles
            value += g_spread * (spread + weight * length * third)
            far += weight * middle
            total += weight * value
            transmittance = after
            out_color[0, i] = weight * red
            out_color[1, i] = weight * green
            out_color[2, i] = weight * blue
            # Kept for the second pass, which needs what lies behind.
            out_density[i] = value
        behind = total
        transmittance = one
        for i in range(offsets[r], end):
            length = ends[i] - starts[i]
            after = transmittance * np.exp(-density[i] * length)
            value = out_density[i]
            behind -= (transmittance - after) * value
            transmittance = after
            out_density[i] = (after * value - behind) * length


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"],
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    stop: float,
) -> tuple[
    Float[Tensor, "rays 3"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
]:
    return _Composite.apply(density, color, starts, ends, offsets, stop)  # pyright: ignore[reportReturnType]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        color: Tensor,
        starts: Tensor,
        ends: Tensor,
        offsets: Tensor,
        stop: float,
    ) -> tuple[Tensor, ...]:
        inputs = (
            density.detach().contiguous(),
            color.detach().T.contiguous(),
            starts.contiguous(),
            ends.contiguous(),
            offsets.contiguous(),
        )
        num_rays = len(offsets) - 1
        colors = density.new_empty(num_rays, 3)
        sums = [density.new_empty(num_rays) for _ in range(3)]
        ctx.save_for_backward(*inputs, *sums[:2])
        ctx.stop = stop
        arrays = [tensor.numpy() for tensor in inputs]
        targets = [tensor.numpy() for tensor in (colors, *sums)]
        run_threads(
            lambda share: _forward(*arrays, np.float32(stop), *share, *targets),
            shares(num_rays, num_threads()),
        )
        return (colors, *sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, opacity, distance = ctx.saved_tensors
        arrays = [tensor.numpy() for tensor in inputs]
        sums = [opacity.numpy(), distance.numpy()]
        above = [gradient.contiguous().numpy() for gradient in gradients]
        g_density, g_color = torch.empty_like(inputs[0]), torch.empty_like(inputs[1])
        targets = [g_density.numpy(), g_color.numpy()]
        run_threads(
            lambda share: _backward(
                *arrays, np.float32(ctx.stop), *sums, *share, *above, *targets
            ),
            shares(len(inputs[4]) - 1, num_threads()),
        )
        return g_density, g_color.T, None, None, None, None

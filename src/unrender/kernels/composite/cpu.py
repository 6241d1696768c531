"""Compositing on the CPU: one pass along each ray forward, one backward.

With optical depth d_i, weight w_i = T_i (1 − exp(−d_i)) and T_{i+1} = T_i exp(−d_i), the
derivative of Σ w_i q_i with respect to d_i is T_{i+1} q_i − Σ_{j > i} w_j q_j.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _forward(density, color, starts, ends, offsets, first, last, out_color, out, distance):
    one = np.float32(1)
    half = np.float32(0.5)
    for r in range(first, last):
        transmittance = one
        red = green = blue = far = np.float32(0)
        for i in range(offsets[r], offsets[r + 1]):
            after = transmittance * np.exp(-density[i] * (ends[i] - starts[i]))
            weight = transmittance - after
            transmittance = after
            red += weight * color[0, i]
            green += weight * color[1, i]
            blue += weight * color[2, i]
            far += weight * (starts[i] + ends[i]) * half
        out_color[r, 0] = red
        out_color[r, 1] = green
        out_color[r, 2] = blue
        out[r] = one - transmittance
        distance[r] = far


@jit
@no_type_check
def _backward(
    density,
    color,
    starts,
    ends,
    offsets,
    first,
    last,
    g_color,
    g_opacity,
    g_distance,
    out_density,
    out_color,
):
    one = np.float32(1)
    half = np.float32(0.5)
    for r in range(first, last):
        red, green, blue = g_color[r, 0], g_color[r, 1], g_color[r, 2]
        opacity, distance = g_opacity[r], g_distance[r]
        transmittance = one
        total = np.float32(0)
        for i in range(offsets[r], offsets[r + 1]):
            after = transmittance * np.exp(-density[i] * (ends[i] - starts[i]))
            weight = transmittance - after
            transmittance = after
            value = red * color[0, i] + green * color[1, i] + blue * color[2, i]
            value += opacity + distance * (starts[i] + ends[i]) * half
            total += weight * value
            out_color[0, i] = weight * red
            out_color[1, i] = weight * green
            out_color[2, i] = weight * blue
            # Kept for the second pass, which needs what lies behind.
            out_density[i] = weight
        behind = total
        transmittance = one
        for i in range(offsets[r], offsets[r + 1]):
            weight = out_density[i]
            transmittance -= weight
            value = red * color[0, i] + green * color[1, i] + blue * color[2, i]
            value += opacity + distance * (starts[i] + ends[i]) * half
            behind -= weight * value
            out_density[i] = (transmittance * value - behind) * (ends[i] - starts[i])


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"],
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    return _Composite.apply(density, color, starts, ends, offsets)  # pyright: ignore[reportReturnType]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, color: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = (
            density.detach().contiguous(),
            color.detach().T.contiguous(),
            starts.contiguous(),
            ends.contiguous(),
            offsets.contiguous(),
        )
        ctx.save_for_backward(*inputs)
        num_rays = len(offsets) - 1
        outputs = (
            density.new_empty(num_rays, 3),
            density.new_empty(num_rays),
            density.new_empty(num_rays),
        )
        arrays = [tensor.numpy() for tensor in inputs]
        targets = [tensor.numpy() for tensor in outputs]
        run_threads(
            lambda share: _forward(*arrays, *share, *targets), shares(num_rays, num_threads())
        )
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        arrays = [tensor.numpy() for tensor in inputs]
        above = [gradient.contiguous().numpy() for gradient in gradients]
        g_density, g_color = torch.empty_like(inputs[0]), torch.empty_like(inputs[1])
        targets = [g_density.numpy(), g_color.numpy()]
        run_threads(
            lambda share: _backward(*arrays, *share, *above, *targets),
            shares(len(inputs[4]) - 1, num_threads()),
        )
        return g_density, g_color.T, None, None, None

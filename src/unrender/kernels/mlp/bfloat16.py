"""The network on the CPU in bfloat16, by torch's matrix products, which use the CPU's matrix
units.

Blocks of points stay in cache, with one thread per block; activations are feature-major.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unrender.kernels.expand import expand
from unrender.kernels.mlp.activation import before_activation
from unrender.kernels.runtime.function import Gradients, Saved, differentiable
from unrender.kernels.runtime.jit import run_threads

BLOCK = 16384
"""Points per block: 32 features of them take 1 MiB, half of a typical second-level cache."""


def _blocks(num_points: int) -> list[slice]:
    return [slice(at, min(at + BLOCK, num_points)) for at in range(0, num_points, BLOCK)]


def mlp(
    x: Tensor,
    weights: Sequence[Tensor],
    activation: str,
    ray_inputs: tuple[Tensor, Tensor] | None,
) -> Tensor:
    if ray_inputs is not None:
        x = torch.cat([expand(*ray_inputs, len(x)).T, x.T]).T
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights))
    return differentiable(_mlp_forward, _mlp_backward, x, activation, keep, *weights)


def _mlp_forward(x: Tensor, activation: str, keep: bool, *weights: Tensor) -> Saved:
    rows = x.detach().T.to(torch.bfloat16).contiguous()
    layers = [weight.detach().to(torch.bfloat16).contiguous() for weight in weights]
    num_points = rows.shape[1]
    hidden = [rows.new_empty(len(layer), num_points) for layer in layers[:-1]]
    out = x.new_empty(len(layers[-1]), num_points)

    def run(block: slice) -> None:
        value = rows[:, block]
        for layer, kept in zip(layers[:-1], hidden, strict=True):
            value = torch.mm(layer, value, out=kept[:, block]).relu_()
        out[:, block] = torch.mm(layers[-1], value)

    run_threads(run, _blocks(num_points), False)
    if activation == "relu":
        out.relu_()
    elif activation == "sigmoid":
        out.sigmoid_()
    result = out if activation != "none" else None
    return out.T, (rows, result, *layers, *hidden) if keep else (), (activation,)


def _mlp_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    activation: str,
    rows: Tensor,
    out: Tensor | None,
    *saved: Tensor,
) -> Gradients:
    num_layers = (len(saved) + 1) // 2
    layers, hidden = saved[:num_layers], saved[num_layers:]
    values = [rows, *hidden]
    grad_output = before_activation(gradient.T, out, activation)
    grad_output = grad_output.to(torch.bfloat16).contiguous()
    need_x = needed[0]
    g_x = torch.empty_like(rows, dtype=torch.float32) if need_x else None
    transposed = [layer.T.contiguous() for layer in layers]

    def run(block: slice) -> list[Tensor]:
        """The block's contribution to the weights' gradients, last layer first."""
        gradient = grad_output[:, block]
        parts: list[Tensor] = []
        for layer in range(num_layers - 1, -1, -1):
            below = values[layer][:, block]
            parts.append((gradient @ below.T).float())
            if layer > 0:
                product = transposed[layer] @ gradient
                gradient = torch.ops.aten.threshold_backward(product, below, 0)
            elif g_x is not None:
                g_x[:, block] = transposed[0] @ gradient
        return parts

    parts = run_threads(run, _blocks(rows.shape[1]), False)
    # Summed in the order of the blocks, so that the result does not depend on timing.
    totals = [
        torch.stack([part[layer] for part in parts]).sum(0)
        if parts
        else torch.zeros_like(layers[num_layers - 1 - layer], dtype=torch.float32)
        for layer in range(num_layers)
    ]
    return (None if g_x is None else g_x.T, None, None, *reversed(totals))

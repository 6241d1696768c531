"""The network on the CPU: in blocks of points that stay in cache, a thread to a block.

Torch's own products, on one thread each, reach most of the machine's rate on blocks like
these. What whole arrays lose, forty megabytes of activations going out to memory and back for
every layer, is what the blocks save. Activations are feature-major, [features, points].
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.jit import run_threads

BLOCK = 16384
"""Points at a time: 32 features of them take 2 MiB, a usual second-level cache."""


def mlp(
    x: Float[Tensor, "points inputs"], weights: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "points outputs"]:
    return _MLP.apply(x, *weights)  # pyright: ignore[reportReturnType]


def _blocks(num_points: int) -> list[slice]:
    return [slice(at, min(at + BLOCK, num_points)) for at in range(0, num_points, BLOCK)]


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        rows = x.T.contiguous()
        num_points = rows.shape[1]
        layers = [weight.contiguous() for weight in weights]
        hidden = [rows.new_empty(len(weight), num_points) for weight in layers]

        def run(block: slice) -> None:
            value = rows[:, block]
            for weight, out in zip(layers[:-1], hidden, strict=False):
                value = torch.mm(weight, value, out=out[:, block]).relu_()
            torch.mm(layers[-1], value, out=hidden[-1][:, block])

        run_threads(run, _blocks(num_points))
        ctx.save_for_backward(rows, *layers, *hidden[:-1])
        return hidden[-1].T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, *saved = ctx.saved_tensors
        num_layers = (len(saved) + 1) // 2
        layers, hidden = saved[:num_layers], saved[num_layers:]
        values = [rows, *hidden]
        gradient = gradients[0].T.contiguous()
        needs_input = ctx.needs_input_grad[0]
        input_gradient = torch.empty_like(rows) if needs_input else None
        transposed = [weight.T.contiguous() for weight in layers]

        def run(block: slice) -> list[Tensor]:
            """The block's share of the weights' gradients, last layer first."""
            above = gradient[:, block]
            shares: list[Tensor] = []
            for layer in range(num_layers - 1, -1, -1):
                below = values[layer][:, block]
                shares.append(above @ below.T)
                if layer > 0:
                    above = torch.ops.aten.threshold_backward(
                        transposed[layer] @ above, below, 0
                    )
                elif input_gradient is not None:
                    torch.mm(transposed[0], above, out=input_gradient[:, block])
            return shares

        shares = run_threads(run, _blocks(rows.shape[1]))
        # Summed in the order of the blocks, so that the result does not depend on timing.
        totals = [
            torch.stack(layer).sum(0) if layer else torch.zeros_like(weight)
            for layer, weight in zip(
                list(zip(*shares, strict=True)) or [()] * num_layers,
                reversed(layers),
                strict=True,
            )
        ]
        return (None if input_gradient is None else input_gradient.T, *reversed(totals))

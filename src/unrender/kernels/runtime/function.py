"""The autograd function of all kernels whose backward pass is written by hand.

A backend writes an operation as two functions of plain tensors, which autograd does not see:

forward(*inputs)    the output or a tuple of them, the tensors that the backward pass needs, and
                    its other values
backward(gradient, needed, *values, *tensors)    gradients of the first inputs, None for those
                    that are not needed; `needed` says of each input whether it is. Of several
                    outputs, `gradient` is a tuple, with None for those that were not used
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

Saved = tuple[Tensor | tuple[Tensor, ...], Sequence[Tensor | None], Sequence[Any]]
"""What a forward function returns."""
Gradients = tuple[Tensor | None, ...]
"""What a backward function returns."""


class _Operation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, forward: Callable[..., Saved], backward: Callable[..., Any], *inputs: Any
    ) -> Tensor | tuple[Tensor, ...]:
        output, tensors, values = forward(*inputs)
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(isinstance(output, Tensor))
        ctx.gradients, ctx.values = backward, values
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        needed = ctx.needs_input_grad[2:]
        first, *others = gradients
        given = gradients if others else first
        found = ctx.gradients(given, needed, *ctx.values, *ctx.saved_tensors)
        return None, None, *found, *(None,) * (len(needed) - len(found))


def differentiable(
    forward: Callable[..., Saved], backward: Callable[..., Gradients], *inputs: Any
) -> Any:
    """The output of `forward` on the inputs, with `backward` as its gradient."""
    return _Operation.apply(forward, backward, *inputs)


def run(backend: ModuleType, name: str, *inputs: Any) -> Any:
    """An operation of a backend's module on the inputs.

    It is the module's function of this name, which torch can differentiate, or else the pair
    NAME_forward and NAME_backward.
    """
    functions = vars(backend)
    if name in functions:
        return functions[name](*inputs)
    return differentiable(functions[f"{name}_forward"], functions[f"{name}_backward"], *inputs)

"""The network in PyTorch."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.expand.reference import expand


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: str,
    precision: str,
    ray_inputs: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if ray_inputs is not None:
        x = torch.cat([expand(*ray_inputs, len(x)), x], dim=-1)
    product = _RoundedProduct.apply if precision == "bfloat16" else _product
    for weight in weights[:-1]:
        x = product(x, weight).relu()  # pyright: ignore[reportOptionalMemberAccess]
    out: Tensor = product(x, weights[-1])  # pyright: ignore[reportAssignmentType]
    if activation == "none":
        return out
    return out.relu() if activation == "relu" else out.sigmoid()


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.T


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


class _RoundedProduct(torch.autograd.Function):
    """x Wᵀ with factors rounded to bfloat16, in the forward and the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = _rounded(x), _rounded(weight)
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad_output = _rounded(gradients[0])
        return grad_output @ weight, grad_output.T @ x

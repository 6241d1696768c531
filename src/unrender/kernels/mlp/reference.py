"""The network in plain torch."""

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
    head: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if head is not None:
        x = torch.cat([expand(*head, len(x)), x], dim=-1)
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
    """x Wᵀ of factors rounded to bfloat16, and so are the factors of its derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = _rounded(x), _rounded(weight)
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        above = _rounded(gradients[0])
        return above @ weight, above.T @ x

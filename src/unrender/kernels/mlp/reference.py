"""The network in PyTorch."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.expand.reference import expand
from unrender.kernels.runtime.function import Gradients, Saved, differentiable


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: str,
    precision: str,
    ray_inputs: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "points outputs"]:
    if ray_inputs is not None:
        x = torch.cat([expand(*ray_inputs, len(x)), x], dim=-1)
    rounded = partial(differentiable, _rounded_forward, _rounded_backward)
    product = rounded if precision == "bfloat16" else _product
    for weight in weights[:-1]:
        x = product(x, weight).relu()
    out = product(x, weights[-1])
    if activation == "none":
        return out
    return out.relu() if activation == "relu" else out.sigmoid()


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.T


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


def _rounded_forward(x: Tensor, weight: Tensor) -> Saved:
    """x Wᵀ with factors rounded to bfloat16, in the forward and the backward pass."""
    x, weight = _rounded(x), _rounded(weight)
    return x @ weight.T, (x, weight), ()


def _rounded_backward(
    gradient: Tensor, needed: tuple[bool, ...], x: Tensor, weight: Tensor
) -> Gradients:
    gradient = _rounded(gradient)
    return gradient @ weight, gradient.T @ x

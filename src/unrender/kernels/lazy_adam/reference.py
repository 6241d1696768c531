"""A step of Adam on the entries with a gradient, in PyTorch."""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def lazy_adam(
    table: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    square: Float[Tensor, "*shape"],
    rate: float,
    betas: tuple[float, float],
    root: float,
    eps: float,
) -> None:
    changed = gradient != 0
    new_mean = mean.lerp(gradient, 1 - betas[0])
    new_square = square.lerp(gradient.square(), 1 - betas[1])
    change = rate * new_mean / (new_square.sqrt() / root + eps)
    mean.copy_(torch.where(changed, new_mean, mean))
    square.copy_(torch.where(changed, new_square, square))
    table.sub_(torch.where(changed, change, 0.0))

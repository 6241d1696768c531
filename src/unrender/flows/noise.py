"""Gaussian noise for flows."""

import torch
from jaxtyping import Float
from torch import Tensor


def normal_like(
    values: Float[Tensor, "*shape"], generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """Standard normal noise on the device of `values`, seeded by `generator`."""
    seed = int(torch.randint(1 << 62, (), generator=generator))
    there = torch.Generator(values.device).manual_seed(seed)
    return torch.randn(values.shape, generator=there, device=values.device)

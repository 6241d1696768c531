"""Positional encodings in PyTorch."""

import torch
from jaxtyping import Float
from torch import Tensor


def encode(
    x: Float[Tensor, "points channels"],
    variance: Float[Tensor, "points channels"] | None,
    frequencies: int,
) -> Float[Tensor, "points encoded"]:
    scales = 2.0 ** torch.arange(frequencies, dtype=x.dtype, device=x.device)
    angles = (x[:, None] * scales[:, None]).flatten(1)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    if variance is None:
        return waves
    spread = (variance[:, None] * scales[:, None].square()).flatten(1)
    return waves * (-spread / 2).exp().repeat(1, 2)

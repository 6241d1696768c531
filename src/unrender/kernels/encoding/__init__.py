"""Positional encoding of points (NeRF, eq. 4), and of Gaussians (mip-NeRF, eq. 14)."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def encode(
    x: Float[Tensor, "points channels"],
    variance: Float[Tensor, "points channels"] | None,
    frequencies: int,
    backend: Backend = "auto",
) -> Float[Tensor, "points encoded"]:
    """sin(2^l x) and cos(2^l x) for l < frequencies: 2 × frequencies × channels numbers.

    With a variance, the expectations of these for normally distributed x: each is multiplied by
    exp(−½ 4^l variance). All sines come before all cosines, and in both, the channels of one
    frequency are next to each other. Where a gradient is needed, of any order, the reference
    computes it.
    """
    needed = x.requires_grad or (variance is not None and variance.requires_grad)
    if needed and torch.is_grad_enabled():
        backend = "reference"
    return implementation(__name__, backend, x).encode(x, variance, frequencies)

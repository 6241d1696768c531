"""Denoisers of conditional flows, and classifier-free guidance."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Denoiser = Callable[
    [Float[Tensor, "images channels rows columns"], Float[Tensor, "images"]],
    Float[Tensor, "images channels rows columns"],
]
"""The expected clean images x1 of x_t = t x1 + (1 − t) ε, at times t in [0, 1), with normal ε.

Images are in a data space of `unrender.flows.data_space`, for view flows in `OverWhite`."""


def guided(
    conditional: Float[Tensor, "*shape"], unconditional: Float[Tensor, "*shape"], scale: float
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance: Ho and Salimans, https://arxiv.org/abs/2207.12598, eq. 6.

    A scale of 1 gives the conditional prediction, 0 the unconditional one. It may be applied to
    predictions of x1, of noise or of velocities alike, since they are affine in each other.
    """
    return unconditional + scale * (conditional - unconditional)

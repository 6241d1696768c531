"""Sums over the bins in front of a bin, and compositing weights of optical depths."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad


def sum_in_front(values: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Exclusive sums: of the bins in front of each, on the same ray.

    They are inclusive sums shifted by one bin. Subtracting each value from its inclusive sum
    would cancel all digits of the others next to a large value.
    """
    return pad(values[:, :-1].cumsum(1), (1, 0))


def depth_weights(depth: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Compositing weights of bins of these optical depths: T (1 − exp(−depth)) (NeRF, eq. 3),
    with transmittance T. Differentiable.
    """
    return (-sum_in_front(depth)).exp() * -torch.expm1(-depth)

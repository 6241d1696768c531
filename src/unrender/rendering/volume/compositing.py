"""Sums over the bins in front of a bin, and compositing weights of optical depths."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

MAX_DEPTH = 800.0
"""Optical depth through which nothing passes, even in double precision."""


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


def packed_weights(
    density: Float[Tensor, "samples"],
    lengths: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> Float[Tensor, "samples"]:
    """Weights of packed bins, where ray r has the bins [offsets[r], offsets[r + 1])."""
    depth = (density * lengths).double()
    # Exclusive sum over the bins of all rays, minus the sum in front of the bin's own ray. The
    # bound keeps the digits of the rays that follow one with an opaque bin.
    total = pad(depth.clamp_max(MAX_DEPTH).cumsum(0), (1, 0))
    before = total[offsets[:-1]].repeat_interleave(offsets.diff())
    return ((before - total[:-1]).exp() * -torch.expm1(-depth)).to(density.dtype)

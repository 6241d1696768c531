"""Volume rendering: exact transmittance through bins of constant density and colour."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


@dataclass(frozen=True)
class Composited:
    """Sums along each ray, weighted by the probability that light comes from the sample."""

    color: Float[Tensor, "rays 3"]
    """Premultiplied."""
    opacity: Float[Tensor, "rays"]
    """The sum of the weights: 1 − transmittance through all samples."""
    distance: Float[Tensor, "rays"]
    """Sum of weight × middle of the bin: divide by opacity for the mean."""
    distortion: Float[Tensor, "rays"]
    """How spread the weights are, in the unit of `starts` (Mip-NeRF 360, eq. 15)."""


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"],
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    stop: float = 0.0,
    backend: Backend = "auto",
) -> Composited:
    """The rendering integral for piecewise constant density and colour (NeRF, eq. 3).

    Ray r owns samples offsets[r] to offsets[r + 1], ordered by distance; density is per unit
    length. A ray ends early at the first sample that is reached by less than `stop` of the
    light: that one and all behind it count for nothing. Differentiable in density and colour.
    """
    kernel = implementation(__name__, backend, density)
    return Composited(*kernel.composite(density, color, starts, ends, offsets, stop))


def composite_dense(
    density: Float[Tensor, "rays samples"],
    color: Float[Tensor, "rays samples 3"],
    starts: Float[Tensor, "rays samples"],
    ends: Float[Tensor, "rays samples"],
    stop: float = 0.0,
    backend: Backend = "auto",
) -> Composited:
    """`composite` for as many samples on every ray."""
    num_rays, num_samples = density.shape
    offsets = torch.arange(num_rays + 1, device=density.device) * num_samples
    flat = [tensor.flatten() for tensor in (density, starts, ends)]
    return composite(flat[0], color.reshape(-1, 3), flat[1], flat[2], offsets, stop, backend)

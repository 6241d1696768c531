"""Volume rendering: alpha compositing through bins of constant density and color."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run


@dataclass(frozen=True)
class Composited:
    """Rendering weights T α of the samples, and sums along each ray that they weight."""

    color: Float[Tensor, "rays 3"]
    """Premultiplied color."""
    opacity: Float[Tensor, "rays"]
    """Sum of the weights: 1 − transmittance through all samples."""
    distance: Float[Tensor, "rays"]
    """Sum of weight × midpoint of the bin; divide by opacity for the mean distance."""
    distortion: Float[Tensor, "rays"]
    """Distortion loss of the weights, in the unit of `starts` (Mip-NeRF 360, eq. 15)."""
    weights: Float[Tensor, "*samples"]
    """Transmittance in front of each sample times its opacity (NeRF, eq. 3)."""

    @property
    def mean_distance(self) -> Float[Tensor, "rays"]:
        """Mean distance under the weights; 0 where there are none."""
        return self.distance / self.opacity.clamp_min(1e-6)


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"] | None,
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    early_stop_eps: float = 0.0,
    backend: Backend = "auto",
) -> Composited:
    """The rendering integral for piecewise constant density and color (NeRF, eq. 3).

    Ray r has the samples offsets[r] to offsets[r + 1], sorted by distance; density is per unit
    length. A ray ends before the first sample whose transmittance is below `early_stop_eps`:
    this sample and all behind it are ignored. Without colors, as for the bins of a proposal,
    the sums of colors are 0. Differentiable in density and color.
    """
    kernel = implementation(__name__, backend, density)
    inputs = density, color, starts, ends, offsets, early_stop_eps
    return Composited(*run(kernel, "composite", *inputs))


def composite_dense(
    density: Float[Tensor, "rays samples"],
    color: Float[Tensor, "rays samples 3"] | None,
    edges: Float[Tensor, "rays edges"],
    early_stop_eps: float = 0.0,
    backend: Backend = "auto",
) -> Composited:
    """`composite` for the same number of samples on every ray, each between two edges."""
    num_rays, num_samples = density.shape
    offsets = torch.arange(num_rays + 1, device=density.device) * num_samples
    flat = [tensor.flatten() for tensor in (density, edges[:, :-1], edges[:, 1:])]
    colors = None if color is None else color.reshape(-1, 3)
    out = composite(flat[0], colors, flat[1], flat[2], offsets, early_stop_eps, backend)
    return replace(out, weights=out.weights.view(num_rays, num_samples))

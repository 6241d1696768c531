"""Volume rendering of packed samples: exact transmittance, for any number of samples a ray."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.backend import Backend, resolve
from unrender.kernels.composite import cpu, reference


@dataclass(frozen=True)
class Composited:
    """Sums along each ray, weighted by the probability that light comes from the sample."""

    color: Float[Tensor, "rays 3"]
    """Premultiplied."""
    opacity: Float[Tensor, "rays"]
    """1 − transmittance through all samples."""
    distance: Float[Tensor, "rays"]
    """Sum of weight × middle of the bin: divide by opacity for the mean."""


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"],
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    backend: Backend = "auto",
) -> Composited:
    """The rendering integral for piecewise constant density and colour (NeRF, eq. 3).

    Ray r owns samples offsets[r] to offsets[r + 1], ordered by distance; density is per unit
    length. Differentiable in density and colour.
    """
    implementation = cpu if resolve(backend, density) == "cpu" else reference
    return Composited(*implementation.composite(density, color, starts, ends, offsets))

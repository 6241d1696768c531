"""One row a ray becomes one row a sample."""

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.backend import Backend, resolve
from unrender.kernels.expand import cpu, reference


def expand(
    values: Float[Tensor, "rays channels"],
    offsets: Int[Tensor, "rays_plus_one"],
    backend: Backend = "auto",
) -> Float[Tensor, "samples channels"]:
    """Row r of `values` for each of ray r's samples, offsets[r] to offsets[r + 1].

    The backward pass sums over each ray's samples.
    """
    implementation = cpu if resolve(backend, values) == "cpu" else reference
    return implementation.expand(values, offsets)

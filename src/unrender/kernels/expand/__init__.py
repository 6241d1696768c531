"""One row a ray becomes one row a sample."""

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.backend import Backend, implementation


def expand(
    values: Float[Tensor, "rays channels"],
    offsets: Int[Tensor, "rays_plus_one"],
    backend: Backend = "auto",
) -> Float[Tensor, "samples channels"]:
    """Row r of `values` for each of ray r's samples, offsets[r] to offsets[r + 1].

    The backward pass sums over each ray's samples.
    """
    kernel = implementation(__name__, backend, values)
    return kernel.expand(values, offsets)

"""Expansion of one row per ray to one row per sample."""

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run


def expand(
    values: Float[Tensor, "rays channels"],
    offsets: Int[Tensor, "rays_plus_one"],
    num_samples: int | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "samples channels"]:
    """Row r of `values` for each of ray r's samples, offsets[r] to offsets[r + 1].

    The backward pass sums over each ray's samples. Passing `num_samples`, which is offsets[-1],
    avoids a synchronization with the GPU.
    """
    kernel = implementation(__name__, backend, values)
    return run(kernel, "expand", values, offsets, num_samples)


def along_rays(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    distances: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    backend: Backend = "auto",
) -> Float[Tensor, "samples 3"]:
    """The points origin + distance × direction of each ray's samples.

    Differentiable in origins and directions.
    """
    kernel = implementation(__name__, backend, origins)
    return run(kernel, "along_rays", origins, directions, distances, offsets)

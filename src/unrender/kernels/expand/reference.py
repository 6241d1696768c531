"""Expansion of rows of rays to rows of samples, in PyTorch."""

from jaxtyping import Float, Int
from torch import Tensor


def expand(
    values: Float[Tensor, "rays channels"],
    offsets: Int[Tensor, "rays_plus_one"],
    num_samples: int | None,
) -> Float[Tensor, "samples channels"]:
    return values.repeat_interleave(offsets.diff(), dim=0, output_size=num_samples)


def along_rays(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    distances: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> Float[Tensor, "samples 3"]:
    num = len(distances)
    return expand(origins, offsets, num) + distances[:, None] * expand(directions, offsets, num)

"""Compositing in PyTorch: sums over each ray's segment of the packed arrays."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAX_DEPTH = 800.0
"""Optical depth through which nothing passes, even in double precision."""


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"] | None,
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    early_stop_eps: float,
) -> tuple[
    Float[Tensor, "rays 3"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
    Float[Tensor, "samples"],
]:
    counts = offsets.diff()
    num_rays = len(counts)
    ray = torch.arange(num_rays, device=density.device).repeat_interleave(counts)

    def sum_in_front(values: Tensor) -> Tensor:
        """Sum over the samples in front, on the same ray."""
        # Double precision, because one running sum over all rays loses digits.
        total = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))
        return (total[:-1] - total[offsets[:-1]][ray]).to(values.dtype)

    def sum_along_ray(values: Tensor) -> Tensor:
        zeros = values.new_zeros(num_rays, *values.shape[1:])
        return zeros.index_add(0, ray, values)

    depth = density * (ends - starts)
    # The bound keeps the digits of the rays that follow one with an opaque bin.
    reached = (-sum_in_front(depth.clamp_max(MAX_DEPTH))).exp()
    # Samples behind the end of a ray have no weight.
    weights = torch.where(reached.detach() >= early_stop_eps, reached * -torch.expm1(-depth), 0)
    midpoints = (starts + ends) / 2
    between = (
        2 * weights * (midpoints * sum_in_front(weights) - sum_in_front(weights * midpoints))
    )
    within = weights.square() * (ends - starts) / 3
    if color is None:
        color = density.new_zeros(len(density), 3)
    return (
        sum_along_ray(weights[:, None] * color),
        sum_along_ray(weights),
        sum_along_ray(weights * midpoints),
        sum_along_ray(between + within),
        weights,
    )

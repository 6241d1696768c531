"""Compositing in plain torch: sums over each ray's segment of the packed arrays."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def composite(
    density: Float[Tensor, "samples"],
    color: Float[Tensor, "samples 3"],
    starts: Float[Tensor, "samples"],
    ends: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
    stop: float,
) -> tuple[
    Float[Tensor, "rays 3"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
    Float[Tensor, "rays"],
]:
    counts = offsets.diff()
    num_rays = len(counts)
    ray = torch.arange(num_rays, device=density.device).repeat_interleave(counts)

    def before(values: Tensor) -> Tensor:
        """Sum over the samples of the same ray that lie in front."""
        # One running sum over all rays loses digits, so it is held in double precision.
        total = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))
        return (total[:-1] - total[offsets[:-1]][ray]).to(values.dtype)

    def along_ray(values: Tensor) -> Tensor:
        zeros = values.new_zeros(num_rays, *values.shape[1:])
        return zeros.index_add(0, ray, values)

    depth = density * (ends - starts)
    reached = (-before(depth)).exp()
    # Where a ray has ended, nothing is added any more.
    weights = torch.where(reached.detach() >= stop, reached * -torch.expm1(-depth), 0)
    middles = (starts + ends) / 2
    between = 2 * weights * (middles * before(weights) - before(weights * middles))
    within = weights.square() * (ends - starts) / 3
    return (
        along_ray(weights[:, None] * color),
        along_ray(weights),
        along_ray(weights * middles),
        along_ray(between + within),
    )

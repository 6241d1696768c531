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
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    counts = offsets.diff()
    num_rays = len(counts)
    ray = torch.arange(num_rays, device=density.device).repeat_interleave(counts)
    depth = density * (ends - starts)
    # One running sum over all rays loses digits, so it is held in double precision.
    total = torch.nn.functional.pad(depth.double().cumsum(0), (1, 0))
    before = (total[:-1] - total[offsets[:-1]][ray]).to(depth.dtype)
    weights = (-before).exp() * -torch.expm1(-depth)

    def along_ray(values: Tensor) -> Tensor:
        zeros = values.new_zeros(num_rays, *values.shape[1:])
        return zeros.index_add(0, ray, values)

    return (
        along_ray(weights[:, None] * color),
        along_ray(weights),
        along_ray(weights * (starts + ends) / 2),
    )

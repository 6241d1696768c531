"""Ray marching in PyTorch: all steps of all rays, then selection of the occupied ones."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march.grid import (
    LEVELS,
    MarchGrid,
    Samples,
    from_stepping_space,
    to_stepping_space,
)


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    max_optical_depth: float,
) -> Samples:
    half, cells, step, growth_start = (
        grid.half_width,
        len(grid.optical_depth),
        grid.step,
        grid.growth_start,
    )
    slabs = torch.stack([(-half - origins) / directions, (half - origins) / directions])
    near = slabs.amin(0).amax(-1).clamp_min(grid.near)
    far = slabs.amax(0).amin(-1)
    num_steps = math.ceil(2 * 3**0.5 * half / step)
    index = torch.arange(num_steps, device=origins.device)
    steps = to_stepping_space(near, growth_start)[:, None] + (index + jitter[:, None]) * step
    midpoints = from_stepping_space(steps, growth_start)
    points = origins[:, None] + midpoints[..., None] * directions[:, None]
    cell = ((points + half) * (cells / (2 * half))).floor().clamp(0, cells - 1).long()
    x, y, z = torch.nan_to_num(cell).unbind(-1)
    quantized = grid.optical_depth[x, y, z].long()
    keep = (midpoints < far[:, None]) & (quantized > 0)
    depth = (quantized - 1) * keep
    max_depth = max_optical_depth / grid.max_step_optical_depth * LEVELS
    keep &= depth.cumsum(-1) - depth <= max_depth
    offsets = torch.nn.functional.pad(keep.sum(-1).cumsum(0), (1, 0))
    kept = steps[keep]
    return Samples(
        from_stepping_space(kept - step / 2, growth_start),
        from_stepping_space(kept + step / 2, growth_start),
        offsets,
    )

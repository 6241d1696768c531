"""Marching in plain torch: all steps of all rays, then those that are kept."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march.grid import LEVELS, MarchGrid, Samples, distance, even


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    max_optical_depth: float,
) -> Samples:
    half, cells, step, knee = grid.half_width, len(grid.depth), grid.step, grid.knee
    slabs = torch.stack([(-half - origins) / directions, (half - origins) / directions])
    near = slabs.amin(0).amax(-1).clamp_min(grid.nearest)
    far = slabs.amax(0).amin(-1)
    num_steps = math.ceil(2 * 3**0.5 * half / step)
    index = torch.arange(num_steps, device=origins.device)
    places = even(near, knee)[:, None] + (index + jitter[:, None]) * step
    middles = distance(places, knee)
    points = origins[:, None] + middles[..., None] * directions[:, None]
    cell = ((points + half) * (cells / (2 * half))).floor().clamp(0, cells - 1).long()
    x, y, z = torch.nan_to_num(cell).unbind(-1)
    code = grid.depth[x, y, z].long()
    keep = (middles < far[:, None]) & (code > 0)
    depth = (code - 1) * keep
    limit = max_optical_depth / grid.max_step_depth * LEVELS
    keep &= depth.cumsum(-1) - depth <= limit
    offsets = torch.nn.functional.pad(keep.sum(-1).cumsum(0), (1, 0))
    kept = places[keep]
    return Samples(distance(kept - step / 2, knee), distance(kept + step / 2, knee), offsets)

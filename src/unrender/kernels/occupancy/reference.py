"""The occupancy grid's update in PyTorch."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


def update_density(
    density: Float[Tensor, "cells cells cells"],
    index: Int[Tensor, "sampled"],
    sampled: Float[Tensor, "sampled"],
    decay: float,
) -> None:
    stored = density.view(-1)
    stored[index] = (stored[index] * decay).maximum(sampled)


def occupied_cells(
    density: Float[Tensor, "cells cells cells"], step: float, threshold: float
) -> Bool[Tensor, "cells cells cells"]:
    depth = density * step
    limit = depth.double().mean().clamp_max(threshold).to(depth.dtype)
    return (depth >= limit) & (depth > 0)

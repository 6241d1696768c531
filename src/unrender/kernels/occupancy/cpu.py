"""The occupancy grid's update on the CPU, in one pass over the sampled cells."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _update(density, index, sampled, decay, first, last):
    for i in range(first, last):
        j = index[i]
        density[j] = max(density[j] * decay, sampled[i])


@jit
@no_type_check
def _sum(density):
    total = 0.0
    for i in range(len(density)):
        total += density[i]
    return total


@jit
@no_type_check
def _mark(density, limit, out):
    for i in range(len(density)):
        out[i] = density[i] >= limit and density[i] > 0


def update_density(
    density: Float[Tensor, "cells cells cells"],
    index: Int[Tensor, "sampled"],
    sampled: Float[Tensor, "sampled"],
    decay: float,
) -> None:
    arrays = (
        density.view(-1).numpy(),
        index.contiguous().numpy(),
        sampled.detach().contiguous().numpy(),
        np.float32(decay),
    )
    run_threads(lambda share: _update(*arrays, *share), shares(len(index), num_threads()))


def occupied_cells(
    density: Float[Tensor, "cells cells cells"], step: float, threshold: float
) -> Bool[Tensor, "cells cells cells"]:
    flat = density.contiguous().view(-1).numpy()
    parts = shares(len(flat), num_threads())
    total = sum(run_threads(lambda share: _sum(flat[slice(*share)]), parts))
    limit = np.float32(min(threshold / step, total / max(len(flat), 1)))
    out = torch.empty(density.shape, dtype=torch.bool)
    target = out.view(-1).numpy()
    run_threads(lambda share: _mark(flat[slice(*share)], limit, target[slice(*share)]), parts)
    return out

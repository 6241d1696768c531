"""The occupancy grid's update on a GPU.

The update is one Triton kernel that touches only the sampled cells, without copies.
Thresholding is one comparison in torch; the mean stays on the GPU, so that there is no
synchronization.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 128
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
"""Fused multiply-add is set explicitly: Triton 3.10 changes the default, and 3.9 warns."""


@triton.jit
@no_type_check
def _update(density, index, sampled, decay, num_sampled, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_sampled
    cell = density + tl.load(index + at, mask=inside, other=0)
    old = tl.load(cell, mask=inside, other=0.0)
    new = tl.load(sampled + at, mask=inside, other=0.0)
    tl.store(cell, tl.maximum(old * decay, new), mask=inside)


def update_density(
    density: Float[Tensor, "cells cells cells"],
    index: Int[Tensor, "sampled"],
    sampled: Float[Tensor, "sampled"],
    decay: float,
) -> None:
    if len(index) == 0:
        return
    inputs = (index.contiguous(), sampled.detach().contiguous(), float(decay), len(index))
    with torch.cuda.device_of(density):
        _update[(triton.cdiv(len(index), BLOCK),)](density, *inputs, BLOCK, **OPTIONS)


def occupied_cells(
    density: Float[Tensor, "cells cells cells"], step: float, threshold: float
) -> Bool[Tensor, "cells cells cells"]:
    mean = density.mean(dtype=torch.float64)
    return (density >= mean.clamp_max(threshold / step).to(density.dtype)) & (density > 0)

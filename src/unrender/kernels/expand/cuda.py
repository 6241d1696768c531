"""Expansion of rows of rays to rows of samples on a GPU, in Triton.

A program, one warp, processes one ray, 32 samples at a time. Rows of samples are feature-major
in memory, like those of the other kernels, so that the lanes of a warp access contiguous
memory.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved, differentiable

LANES = 32
OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}
"""Fused multiply-add is set explicitly: Triton 3.10 changes the default, and 3.9 warns."""


@triton.jit
@no_type_check
def _forward(
    values,
    offsets,
    num_channels,
    num_samples,
    out,
    CHANNELS: tl.constexpr,
    LANES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, CHANNELS)[:, None]
    value = tl.load(
        values + ray * num_channels + channel, mask=channel < num_channels, other=0.0
    )
    last = tl.load(offsets + ray + 1)
    for first in range(tl.load(offsets + ray), last, LANES):
        at = (first + tl.arange(0, LANES))[None, :]
        inside = (channel < num_channels) & (at < last)
        target = out + channel.to(tl.int64) * num_samples + at
        tl.store(target, tl.broadcast_to(value, [CHANNELS, LANES]), mask=inside)


@triton.jit
@no_type_check
def _backward(
    gradient,
    offsets,
    num_channels,
    num_samples,
    out,
    CHANNELS: tl.constexpr,
    LANES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, CHANNELS)[:, None]
    total = tl.zeros([CHANNELS, LANES], tl.float32)
    last = tl.load(offsets + ray + 1)
    for first in range(tl.load(offsets + ray), last, LANES):
        at = (first + tl.arange(0, LANES))[None, :]
        inside = (channel < num_channels) & (at < last)
        source = gradient + channel.to(tl.int64) * num_samples + at
        total += tl.load(source, mask=inside, other=0.0)
    channel = tl.arange(0, CHANNELS)
    target = out + ray * num_channels + channel
    tl.store(target, tl.sum(total, axis=1), mask=channel < num_channels)


def along_rays(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    distances: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> Float[Tensor, "samples 3"]:
    both = differentiable(
        expand_forward,
        expand_backward,
        torch.cat([origins, directions], dim=-1),
        offsets,
        len(distances),
    ).T
    return (both[:3] + distances * both[3:]).T


def expand_forward(values: Tensor, offsets: Tensor, num_samples: int | None) -> Saved:
    values, offsets = values.detach().contiguous(), offsets.contiguous()
    if num_samples is None:
        num_samples = int(offsets[-1])
    num_rays, num_channels = values.shape
    out = values.new_empty(num_channels, num_samples)
    if out.numel():
        padded = triton.next_power_of_2(num_channels)
        sizes = (num_channels, num_samples)
        with torch.cuda.device_of(values):
            _forward[(num_rays,)](values, offsets, *sizes, out, padded, LANES, **OPTIONS)
    return out.T, (offsets,), ()


def expand_backward(gradient: Tensor, needed: tuple[bool, ...], offsets: Tensor) -> Gradients:
    grad_output = gradient.T.contiguous()
    num_channels, num_samples = grad_output.shape
    num_rays = len(offsets) - 1
    out = grad_output.new_empty(num_rays, num_channels)
    if out.numel():
        padded = triton.next_power_of_2(num_channels)
        sizes = (num_channels, num_samples)
        with torch.cuda.device_of(grad_output):
            _backward[(num_rays,)](grad_output, offsets, *sizes, out, padded, LANES, **OPTIONS)
    return (out,)

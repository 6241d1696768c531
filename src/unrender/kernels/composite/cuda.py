"""Compositing on a GPU, in Triton: one pass along each ray forward, and one backward.

A program, one warp, processes one ray, 32 samples at a time, so that lanes read contiguous
memory. Sums over the samples in front are scans across the lanes, initialized with the result
of the previous chunks. The optical depth in front of a sample is a scan over the samples
shifted by one, which are read again: subtracting a sample's own optical depth from an inclusive
scan would cancel all digits where samples are opaque.

The derivatives are those of `cpu.py`. The sum over the samples behind is the total minus the
sum in front. The total, Σ w_i q_i, is known in advance: it is the outputs times their
gradients, twice for the distortion, which is homogeneous of degree 2 in the weights (Euler's
theorem).
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved

LANES = 32
OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}
"""Fused multiply-add is set explicitly: Triton 3.10 changes the default, and 3.9 warns."""


@triton.jit
@no_type_check
def _optical_depths(density, starts, ends, at, inside):
    length = tl.load(ends + at, mask=inside, other=0.0) - tl.load(
        starts + at, mask=inside, other=0.0
    )
    return tl.load(density + at, mask=inside, other=0.0) * length, length


@triton.jit
@no_type_check
def _weights(density, starts, ends, at, first, last, in_front, early_stop_eps):
    """Each sample's weight, the transmittance before and after it, and its bin.

    `in_front` is the optical depth in front of the sample at `first`, the first of these lanes.
    """
    inside = at < last
    depth, length = _optical_depths(density, starts, ends, at, inside)
    before, _ = _optical_depths(density, starts, ends, at - 1, inside & (at > first))
    reached = tl.exp(-(in_front + tl.cumsum(before, axis=0)))
    passed = reached * tl.exp(-depth)
    alive = inside & (reached >= early_stop_eps)
    weight = tl.where(alive, reached - passed, 0.0)
    midpoint = tl.load(starts + at, mask=inside, other=0.0) + length * 0.5
    return weight, reached, passed, alive, midpoint, length, in_front + tl.sum(depth, axis=0)


@triton.jit
@no_type_check
def _forward(
    density,
    color,
    starts,
    ends,
    offsets,
    early_stop_eps,
    num_samples,
    out_color,
    out_opacity,
    out_distance,
    out_distortion,
    out_weights,
    COLORED: tl.constexpr,
    LANES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    last = tl.load(offsets + ray + 1)
    depth = tl.full([], 0.0, tl.float32)
    weighted_distance = tl.full([], 0.0, tl.float32)
    red = tl.zeros([LANES], tl.float32)
    green = tl.zeros([LANES], tl.float32)
    blue = tl.zeros([LANES], tl.float32)
    opacity = tl.zeros([LANES], tl.float32)
    distance = tl.zeros([LANES], tl.float32)
    distortion = tl.zeros([LANES], tl.float32)
    for first in range(tl.load(offsets + ray), last, LANES):
        at = first + tl.arange(0, LANES)
        weight, reached, _, alive, midpoint, length, depth = _weights(
            density, starts, ends, at, first, last, depth, early_stop_eps
        )
        moment = weight * midpoint
        front_moment = weighted_distance + tl.cumsum(moment, axis=0) - moment
        spread = 2 * (midpoint * (1 - reached) - front_moment) + weight * length / 3
        weighted_distance += tl.sum(moment, axis=0)
        tl.store(out_weights + at, weight, mask=at < last)
        if COLORED:
            red += weight * tl.load(color + at, mask=alive, other=0.0)
            green += weight * tl.load(color + num_samples + at, mask=alive, other=0.0)
            blue += weight * tl.load(color + 2 * num_samples + at, mask=alive, other=0.0)
        opacity += weight
        distance += moment
        distortion += weight * spread
    tl.store(out_color + 3 * ray, tl.sum(red, axis=0))
    tl.store(out_color + 3 * ray + 1, tl.sum(green, axis=0))
    tl.store(out_color + 3 * ray + 2, tl.sum(blue, axis=0))
    tl.store(out_opacity + ray, tl.sum(opacity, axis=0))
    tl.store(out_distance + ray, tl.sum(distance, axis=0))
    tl.store(out_distortion + ray, tl.sum(distortion, axis=0))


@triton.jit
@no_type_check
def _backward(
    density,
    color,
    starts,
    ends,
    offsets,
    early_stop_eps,
    num_samples,
    out_color,
    out_opacity,
    out_distance,
    out_distortion,
    out_weights,
    g_color,
    g_opacity,
    g_distance,
    g_distortion,
    g_weights,
    grad_density,
    grad_color,
    COLORED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    LANES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    last = tl.load(offsets + ray + 1)
    opacity = tl.load(out_opacity + ray)
    distance = tl.load(out_distance + ray)
    g_red = tl.load(g_color + 3 * ray)
    g_green = tl.load(g_color + 3 * ray + 1)
    g_blue = tl.load(g_color + 3 * ray + 2)
    g_weight = tl.load(g_opacity + ray)
    g_moment = tl.load(g_distance + ray)
    g_spread = 2 * tl.load(g_distortion + ray)
    behind = g_red * tl.load(out_color + 3 * ray)
    behind += g_green * tl.load(out_color + 3 * ray + 1)
    behind += g_blue * tl.load(out_color + 3 * ray + 2)
    behind += g_weight * opacity + g_moment * distance
    behind += g_spread * tl.load(out_distortion + ray)
    if WEIGHTED:
        for first in range(tl.load(offsets + ray), last, LANES):
            at = first + tl.arange(0, LANES)
            inside = at < last
            weight = tl.load(out_weights + at, mask=inside, other=0.0)
            gradient = tl.load(g_weights + at, mask=inside, other=0.0)
            behind += tl.sum(weight * gradient, axis=0)
    depth = tl.full([], 0.0, tl.float32)
    weighted_distance = tl.full([], 0.0, tl.float32)
    for first in range(tl.load(offsets + ray), last, LANES):
        at = first + tl.arange(0, LANES)
        inside = at < last
        weight, reached, passed, alive, midpoint, length, depth = _weights(
            density, starts, ends, at, first, last, depth, early_stop_eps
        )
        # Sums of weights and of weighted midpoints in front, then behind.
        moment = weight * midpoint
        front = 1 - reached
        front_moment = weighted_distance + tl.cumsum(moment, axis=0) - moment
        back = opacity - front - weight
        back_moment = distance - front_moment - moment
        spread = midpoint * (front - back) - front_moment + back_moment + weight * length / 3
        value = g_weight + g_moment * midpoint + g_spread * spread
        if COLORED:
            value += g_red * tl.load(color + at, mask=alive, other=0.0)
            value += g_green * tl.load(color + num_samples + at, mask=alive, other=0.0)
            value += g_blue * tl.load(color + 2 * num_samples + at, mask=alive, other=0.0)
        if WEIGHTED:
            value += tl.load(g_weights + at, mask=alive, other=0.0)
        contribution = weight * value
        beyond = behind - tl.cumsum(contribution, axis=0)
        grad_depth = tl.where(alive, passed * value - beyond, 0.0)
        weighted_distance += tl.sum(moment, axis=0)
        behind -= tl.sum(contribution, axis=0)
        tl.store(grad_density + at, grad_depth * length, mask=inside)
        if COLORED:
            tl.store(grad_color + at, weight * g_red, mask=inside)
            tl.store(grad_color + num_samples + at, weight * g_green, mask=inside)
            tl.store(grad_color + 2 * num_samples + at, weight * g_blue, mask=inside)


def composite_forward(
    density: Tensor,
    color: Tensor | None,
    starts: Tensor,
    ends: Tensor,
    offsets: Tensor,
    early_stop_eps: float,
) -> Saved:
    inputs = (
        density.detach().contiguous(),
        density.new_empty(3, 0) if color is None else color.detach().T.contiguous(),
        starts.detach().contiguous(),
        ends.detach().contiguous(),
        offsets.contiguous(),
    )
    num_rays = len(offsets) - 1
    sums = [density.new_empty(num_rays) for _ in range(3)]
    out = (density.new_empty(num_rays, 3), *sums, torch.empty_like(inputs[0]))
    if num_rays:
        sizes = (float(early_stop_eps), len(density))
        flags = (inputs[1].shape[1] > 0, LANES)
        with torch.cuda.device_of(density):
            _forward[(num_rays,)](*inputs, *sizes, *out, *flags, **OPTIONS)
    return out, (*inputs, *out), (early_stop_eps,)


def composite_backward(
    gradients: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
    early_stop_eps: float,
    *kept: Tensor,
) -> Gradients:
    inputs, out = kept[:5], kept[5:]
    density, color, *_, offsets = inputs
    grad_outputs = [
        torch.zeros_like(output) if gradient is None else gradient.contiguous()
        for gradient, output in zip(gradients[:4], out[:4], strict=True)
    ]
    g_weights = gradients[4]
    weighted = g_weights is not None
    grad_outputs.append(g_weights.contiguous() if weighted else density.new_empty(0))
    grad_density, grad_color = torch.empty_like(density), torch.empty_like(color)
    if len(density):
        sizes = (float(early_stop_eps), len(density))
        with torch.cuda.device_of(density):
            _backward[(len(offsets) - 1,)](
                *inputs,
                *sizes,
                *out,
                *grad_outputs,
                grad_density,
                grad_color,
                color.shape[1] > 0,
                weighted,
                LANES,
                **OPTIONS,
            )
    return grad_density, grad_color.T if needed[1] else None

"""Step functions on a GPU, in Triton: a program processes several samples or intervals of one
ray.

It compares them with all bins of the ray at once instead of searching: a ray has few bins, and
the tile of comparisons fits in registers. There are no atomic additions.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved

LANES = 2048


@triton.jit
@no_type_check
def _sample(t, w, u, num_bins, num_samples, out, SAMPLES: tl.constexpr, BINS: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * SAMPLES + tl.arange(0, SAMPLES)
    used = at < num_samples
    bins = tl.arange(0, BINS)
    inside = bins < num_bins
    weight = tl.load(w + ray * num_bins + bins, mask=inside, other=0.0)
    cdf = tl.cumsum(weight, axis=0)
    total = tl.sum(weight, axis=0)
    last = tl.max(tl.where(weight > 0, bins, 0), axis=0)
    quantile = tl.load(u + ray * num_samples + at, mask=used, other=0.0)
    target = quantile * total
    # Bins that end at or before the target; the last one with weight takes the remainder.
    passed = (cdf[None, :] <= target[:, None]) & (bins < last)[None, :]
    index = tl.sum(passed.to(tl.int32), axis=1)
    before = tl.max(tl.where(passed, cdf[None, :], 0.0), axis=1)
    mass = tl.load(w + ray * num_bins + index, mask=used, other=1.0)
    fraction = tl.where(mass > 0, (target - before) / tl.where(mass > 0, mass, 1.0), 0.0)
    fraction = tl.minimum(tl.maximum(fraction, 0.0), 1.0)
    # A ray without weight is one bin from its first edge to its last.
    has_weight = total > 0
    edges = t + ray * (num_bins + 1)
    begin = tl.load(edges + tl.where(has_weight, index, 0), mask=used, other=0.0)
    end = tl.load(edges + tl.where(has_weight, index + 1, num_bins), mask=used, other=0.0)
    fraction = tl.where(has_weight, fraction, quantile)
    value = (1 - fraction) * begin + fraction * end
    tl.store(out + ray * num_samples + at, value, mask=used)


@triton.jit
@no_type_check
def _overlaps(
    t0,
    t1,
    ray,
    bins,
    intervals,
    num_bins,
    num_intervals,
):
    """Whether each bin overlaps each interval; they broadcast."""
    has_bin, has_interval = bins < num_bins, intervals < num_intervals
    edges0, edges1 = t0 + ray * (num_bins + 1), t1 + ray * (num_intervals + 1)
    begin0 = tl.load(edges0 + bins, mask=has_bin, other=0.0)
    end0 = tl.load(edges0 + bins + 1, mask=has_bin, other=0.0)
    begin1 = tl.load(edges1 + intervals, mask=has_interval, other=0.0)
    end1 = tl.load(edges1 + intervals + 1, mask=has_interval, other=0.0)
    return (begin0 < end1) & (end0 > begin1) & has_bin & has_interval


@triton.jit
@no_type_check
def _outer(
    t0, w0, t1, num_bins, num_intervals, out, INTERVALS: tl.constexpr, BINS: tl.constexpr
):
    ray = tl.program_id(0).to(tl.int64)
    intervals = tl.program_id(1) * INTERVALS + tl.arange(0, INTERVALS)
    bins = tl.arange(0, BINS)
    overlap = _overlaps(t0, t1, ray, bins[None, :], intervals[:, None], num_bins, num_intervals)
    weight = tl.load(w0 + ray * num_bins + bins, mask=bins < num_bins, other=0.0)
    total = tl.sum(tl.where(overlap, weight[None, :], 0.0), axis=1)
    tl.store(out + ray * num_intervals + intervals, total, mask=intervals < num_intervals)


@triton.jit
@no_type_check
def _outer_gradient(
    t0, t1, gradient, num_bins, num_intervals, out, BINS: tl.constexpr, INTERVALS: tl.constexpr
):
    """The gradient of a bin is the sum over the intervals that it overlaps."""
    ray = tl.program_id(0).to(tl.int64)
    bins = tl.program_id(1) * BINS + tl.arange(0, BINS)
    intervals = tl.arange(0, INTERVALS)
    overlap = _overlaps(t0, t1, ray, bins[:, None], intervals[None, :], num_bins, num_intervals)
    grad_output = tl.load(
        gradient + ray * num_intervals + intervals, mask=intervals < num_intervals, other=0.0
    )
    total = tl.sum(tl.where(overlap, grad_output[None, :], 0.0), axis=1)
    tl.store(out + ray * num_bins + bins, total, mask=bins < num_bins)


def _tile(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a tile: all `columns`, and as many rows as fit."""
    width = triton.next_power_of_2(columns)
    return min(max(LANES // width, 1), triton.next_power_of_2(rows)), width


def sample(
    t: Float[Tensor, "rays edges"],
    w: Float[Tensor, "rays bins"],
    u: Float[Tensor, "rays samples"],
) -> Float[Tensor, "rays samples"]:
    t, w, u = (tensor.detach().contiguous() for tensor in (t, w, u))
    out = torch.empty_like(u)
    if out.numel():
        (num_rays, num_bins), num_samples = w.shape, u.shape[1]
        tile = _tile(num_samples, num_bins)
        with torch.cuda.device_of(w):
            _sample[(num_rays, triton.cdiv(num_samples, tile[0]))](
                t, w, u, num_bins, num_samples, out, *tile
            )
    return out


def outer_forward(t0: Tensor, w0: Tensor, t1: Tensor) -> Saved:
    t0, w0, t1 = (tensor.detach().contiguous() for tensor in (t0, w0, t1))
    num_bins, num_intervals = w0.shape[1], t1.shape[1] - 1
    out = w0.new_empty(len(w0), num_intervals)
    if out.numel():
        tile = _tile(num_intervals, num_bins)
        with torch.cuda.device_of(w0):
            _outer[(len(w0), triton.cdiv(num_intervals, tile[0]))](
                t0, w0, t1, num_bins, num_intervals, out, *tile
            )
    return out, (t0, t1), ()


def outer_backward(
    gradient: Tensor, needed: tuple[bool, ...], t0: Tensor, t1: Tensor
) -> Gradients:
    num_bins, num_intervals = t0.shape[1] - 1, t1.shape[1] - 1
    grad_output = gradient.contiguous()
    out = t0.new_empty(len(t0), num_bins)
    if out.numel():
        tile = _tile(num_bins, num_intervals)
        with torch.cuda.device_of(t0):
            _outer_gradient[(len(t0), triton.cdiv(num_bins, tile[0]))](
                t0, t1, grad_output, num_bins, num_intervals, out, *tile
            )
    return None, out

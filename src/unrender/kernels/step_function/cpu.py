"""Step functions on the CPU: one pass along each ray that merges two sorted rows.

The work is proportional to the sum of their lengths, not the product. `outer` sums the bins
that overlap an interval instead of subtracting two cumulative sums, which avoids cancellation;
only the first and last bin of an interval are visited by other intervals too.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _sample(t, w, u, first, last, out):
    zero = np.float32(0)
    one = np.float32(1)
    num_bins = w.shape[1]
    for r in range(first, last):
        total = zero
        end = 0
        for k in range(num_bins):
            if w[r, k] > zero:
                total += w[r, k]
                end = k
        if total > zero:
            k = 0
            before = zero
            for i in range(u.shape[1]):
                target = u[r, i] * total
                while k < end and before + w[r, k] <= target:
                    before += w[r, k]
                    k += 1
                share = min(max((target - before) / w[r, k], zero), one)
                out[r, i] = (one - share) * t[r, k] + share * t[r, k + 1]
        else:
            for i in range(u.shape[1]):
                out[r, i] = (one - u[r, i]) * t[r, 0] + u[r, i] * t[r, num_bins]


@jit
@no_type_check
def _outer(t0, w0, t1, first, last, out):
    num_bins = w0.shape[1]
    for r in range(first, last):
        begin = 0
        for i in range(out.shape[1]):
            while begin < num_bins and t0[r, begin + 1] <= t1[r, i]:
                begin += 1
            total = np.float32(0)
            k = begin
            while k < num_bins and t0[r, k] < t1[r, i + 1]:
                total += w0[r, k]
                k += 1
            out[r, i] = total


@jit
@no_type_check
def _outer_gradient(t0, t1, gradient, first, last, out):
    """The gradient of a bin is the sum over the intervals that it overlaps."""
    num_bins = out.shape[1]
    for r in range(first, last):
        out[r, :] = np.float32(0)
        begin = 0
        for i in range(gradient.shape[1]):
            while begin < num_bins and t0[r, begin + 1] <= t1[r, i]:
                begin += 1
            k = begin
            while k < num_bins and t0[r, k] < t1[r, i + 1]:
                out[r, k] += gradient[r, i]
                k += 1


def sample(
    t: Float[Tensor, "rays edges"],
    w: Float[Tensor, "rays bins"],
    u: Float[Tensor, "rays samples"],
) -> Float[Tensor, "rays samples"]:
    out = w.new_empty(u.shape)
    arrays = [tensor.detach().contiguous().numpy() for tensor in (t, w, u)]
    target = out.numpy()
    run_threads(lambda share: _sample(*arrays, *share, target), shares(len(w), num_threads()))
    return out


def outer_forward(t0: Tensor, w0: Tensor, t1: Tensor) -> Saved:
    inputs = [tensor.detach().contiguous() for tensor in (t0, w0, t1)]
    out = w0.new_empty(len(t1), t1.shape[1] - 1)
    arrays, target = [tensor.numpy() for tensor in inputs], out.numpy()
    run_threads(lambda share: _outer(*arrays, *share, target), shares(len(out), num_threads()))
    return out, (inputs[0], inputs[2]), ()


def outer_backward(
    gradient: Tensor, needed: tuple[bool, ...], t0: Tensor, t1: Tensor
) -> Gradients:
    out = t0.new_empty(len(t0), t0.shape[1] - 1)
    arrays = [tensor.contiguous().numpy() for tensor in (t0, t1, gradient)]
    target = out.numpy()
    run_threads(
        lambda share: _outer_gradient(*arrays, *share, target),
        shares(len(out), num_threads()),
    )
    return None, out

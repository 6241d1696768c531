"""Step functions along rays, for resampling and supervising proposal networks.

A step function has non-decreasing edges t, and between them bins with weights w ≥ 0: the
rendering weight of each bin. The weights of a ray need not sum to 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run


def sample(
    t: Float[Tensor, "rays edges"],
    w: Float[Tensor, "rays bins"],
    u: Float[Tensor, "rays samples"],
    backend: Backend = "auto",
) -> Float[Tensor, "rays samples"]:
    """Inverse transform sampling: the CDF's inverse at `u` (NeRF, sec. 5.2).

    `u` is in [0, 1] and non-decreasing along a ray; so are the samples. The weight of a bin is
    distributed uniformly, so the CDF is piecewise linear and exact at the edges, and a bin with
    zero weight is never sampled. A ray without weight is sampled uniformly. Not differentiable,
    neither in `t` nor in `w` (Mip-NeRF 360, sec. 3).
    """
    assert t.shape[1] == w.shape[1] + 1 > 1, (
        "there must be one more edge than bins, and at least one bin"
    )
    with torch.no_grad():
        return implementation(__name__, backend, w).sample(t, w, u)


def outer(
    t0: Float[Tensor, "rays edges"],
    w0: Float[Tensor, "rays bins"],
    t1: Float[Tensor, "rays other_edges"],
    backend: Backend = "auto",
) -> Float[Tensor, "rays other_bins"]:
    """Upper bound on the weight of each interval of `t1`, given (t0, w0) (Mip-NeRF 360, eq.
    12).

    It is the sum of all bins that overlap the interior of the interval; bins that only touch it
    do not count. If another histogram of the same function has a weight above this bound, the
    two are inconsistent. Differentiable in `w0`.
    """
    assert t0.shape[1] == w0.shape[1] + 1, "there must be one more edge than bins"
    return run(implementation(__name__, backend, w0), "outer", t0, w0, t1)


def blur_max(w: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Widen weights by a 2-tap max filter and a 2-tap average filter (mip-NeRF, sec. 3.2).

    w'_k = (max(w_{k−1}, w_k) + max(w_k, w_{k+1})) / 2, with the first and last bin replicated
    at the ends. Before resampling, mip-NeRF adds a small constant.
    """
    padded = torch.cat([w[:, :1], w, w[:, -1:]], dim=1)
    largest = padded[:, :-1].maximum(padded[:, 1:])
    return (largest[:, :-1] + largest[:, 1:]) / 2

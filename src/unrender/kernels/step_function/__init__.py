"""Step functions along rays: how proposals are resampled and held to account.

A step function has edges t, which do not decrease, and between them bins with weights w ≥ 0:
the mass in each bin, as volume rendering gives it. A ray's weights need not add up to 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def sample(
    t: Float[Tensor, "rays edges"],
    w: Float[Tensor, "rays bins"],
    u: Float[Tensor, "rays samples"],
    backend: Backend = "auto",
) -> Float[Tensor, "rays samples"]:
    """Where the share `u` of each ray's mass lies in front (NeRF, sec. 5.2: inverse transform).

    `u` is in [0, 1] and does not decrease along a ray; nor do the samples. The mass of a bin is
    spread evenly, so the CDF is linear in it and exact at the edges; a bin without mass is
    sampled nowhere. A ray without mass is sampled as if it had the same density everywhere. No
    gradient flows, neither to `t` nor to `w` (Mip-NeRF 360, sec. 3).
    """
    assert t.shape[1] == w.shape[1] + 1 > 1, "one edge more than bins, and at least one bin"
    with torch.no_grad():
        return implementation(__name__, backend, w).sample(t, w, u)


def outer(
    t0: Float[Tensor, "rays edges"],
    w0: Float[Tensor, "rays bins"],
    t1: Float[Tensor, "rays other_edges"],
    backend: Backend = "auto",
) -> Float[Tensor, "rays other_bins"]:
    """The most mass that each interval of `t1` can hold by (t0, w0) (Mip-NeRF 360, eq. 12).

    It is the sum of all bins that overlap the interval's inside; those that only touch it do
    not count. Weights of another histogram of the same mass that exceed it prove that the two
    disagree. Differentiable in `w0`.
    """
    assert t0.shape[1] == w0.shape[1] + 1, "one edge more than bins"
    return implementation(__name__, backend, w0).outer(t0, w0, t1)


def blur_max(w: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Widened weights: maxima of neighbours, then averages of those (mip-NeRF, sec. 3.2).

    w'_k = (max(w_{k−1}, w_k) + max(w_k, w_{k+1})) / 2, where the first and the last bin stand
    in for the neighbours that they lack. To resample from it, mip-NeRF adds a small constant.
    """
    padded = torch.cat([w[:, :1], w, w[:, -1:]], dim=1)
    largest = padded[:, :-1].maximum(padded[:, 1:])
    return (largest[:, :-1] + largest[:, 1:]) / 2

"""Initialization and relocation of the Gaussians of 3D Gaussian splatting.

Kerbl, Kopanas, Leimkühler, Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering" (2023), https://arxiv.org/abs/2308.04079; Kheradmand et al., "3D Gaussian Splatting
as Markov Chain Monte Carlo" (2024).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.nearest import k_nearest

MAX_COPIES = 51
"""A Gaussian is split into at most this many at once: the alternating sum of eq. 9 would lose
precision with more."""


def neighbor_distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """Root mean square distance of each point to its three nearest neighbors.

    This is the initial scale of a Gaussian at the point: large enough to leave no holes. It is
    0 for a lone point.
    """
    # Exact distances; torch.cdist loses the digits of near points. The nearest is the point
    # itself.
    found = k_nearest(points[None], points[None], min(4, len(points))).distance2[0, :, 1:]
    return found.mean(1).nan_to_num().sqrt()


def compute_relocation(
    opacity: Float[Tensor, "splats"], parts: Int[Tensor, "splats"]
) -> tuple[Float[Tensor, "splats"], Float[Tensor, "splats"]]:
    """Opacity and scale factor of N Gaussians that replace one at the same position.

    `parts` is N. Together they have the original's opacity at its center and its total
    contribution (Kheradmand et al., eq. 9): o' = 1 − (1 − o)^{1/N}, and the scales are
    multiplied by o / Σ_{i=1..N} Σ_{k=0..i−1} C(i−1, k) (−1)^k o'^{k+1} / √(k+1).
    """
    parts = parts.clamp_max(MAX_COPIES)
    new = 1 - (1 - opacity.double()) ** (1 / parts)
    # Σ_{i=1..N} C(i−1, k) = C(N, k+1), which leaves one sum.
    k = torch.arange(MAX_COPIES, dtype=torch.float64, device=opacity.device)
    n = parts[:, None].double()
    logs = torch.lgamma(n + 1) - torch.lgamma(k + 2) - torch.lgamma((n - k).clamp_min(1))
    terms = logs.exp() * (-1) ** k * new[:, None] ** (k + 1) / (k + 1).sqrt()
    total = torch.where(k < n, terms, 0.0).sum(1)
    return new.to(opacity.dtype), (opacity / total).to(opacity.dtype)

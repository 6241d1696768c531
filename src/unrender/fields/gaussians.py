"""A scene as Gaussians in space: what they are, how a camera sees them, and their file.

Kerbl, Kopanas, Leimkühler, Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering" (2023), https://arxiv.org/abs/2308.04079. Numbers are kept as they are learned:
logarithms of scales, quaternions (w, x, y, z) of any length, logits of opacities, and spherical
harmonics' coefficients of colour less ½.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAX_COPIES = 51
"""A Gaussian is divided in no more at once: the sum of alternating terms would lose digits."""


def neighbor_distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The root mean square distance of each point to its three nearest neighbours.

    That is how large a Gaussian at the point has to be to leave no hole. 0 of a lone point.
    """
    few = min(4, len(points))
    found = [
        torch.cdist(part, points).topk(few, largest=False).values
        for part in points.split(1 << 11)
    ]
    # The nearest is the point itself.
    return torch.cat(found)[:, 1:].square().mean(1).nan_to_num().sqrt()


def compute_relocation(
    opacity: Float[Tensor, "splats"], parts: Int[Tensor, "splats"]
) -> tuple[Float[Tensor, "splats"], Float[Tensor, "splats"]]:
    """Each Gaussian as so many in one place: their opacity, and the factor on their scales.

    Together they cover what the one did at its centre, and as much in all (Kheradmand et al.,
    eq. 9): o' = 1 − (1 − o)^{1/N}, and the scales change by
    o / Σ_{i=1..N} Σ_{k=0..i−1} C(i−1, k) (−1)^k o'^{k+1} / √(k+1).
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

"""All of space in a ball: near the centre as it is, far away ever more compressed.

Barron et al., "Mip-NeRF 360" (2022), https://arxiv.org/abs/2111.12077, eq. 10.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.frustums import Gaussians


def contract(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """x inside the unit ball, (2 − 1/|x|) x/|x| outside: the result lies in the ball of 2."""
    length = points.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return (2 - 1 / length) / length * points


def expand(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The inverse of `contract`, for points nearer than 2."""
    length = points.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return points / (length * (2 - length))


def contract_box(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The same with the largest coordinate for a length: all of space in the cube of 2.

    A cube leaves none of a grid's cells unused (nerfstudio, "nerfacto", scene contraction).
    """
    length = points.abs().amax(dim=-1, keepdim=True).clamp_min(1.0)
    return (2 - 1 / length) / length * points


def contract_gaussians(gaussians: Gaussians) -> Gaussians:
    """Their images if the map was linear about each mean (Mip-NeRF 360, eq. 9): J Σ Jᵀ.

    Outside, J = (2 r − 1)/r² (I − u uᵀ) + 1/r² u uᵀ, for r = |x| and u = x/r.
    """
    mean, covariance = gaussians.mean, gaussians.covariance
    length = mean.norm(dim=-1, keepdim=True)
    outside = length.clamp_min(1.0)
    across = (2 * outside - 1) / outside.square()
    along = 1 / outside.square()
    unit = mean / length.clamp_min(1e-12)
    # Inside, both are 1, and J is the identity.
    outer = unit[..., :, None] * unit[..., None, :]
    identity = torch.eye(3, dtype=mean.dtype, device=mean.device)
    jacobian = across[..., None] * identity + (along - across)[..., None] * outer
    return Gaussians(contract(mean), jacobian @ covariance @ jacobian.mT)

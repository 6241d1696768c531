"""Scene contraction: maps unbounded space to a ball, with the identity near the center.

Barron et al., "Mip-NeRF 360" (2022), https://arxiv.org/abs/2111.12077, eq. 10.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.frustums import Gaussians


def contract(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """x inside the unit ball, (2 − 1/|x|) x/|x| outside, which is in the ball of radius 2."""
    length = points.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return (2 - 1 / length) / length * points


def contract_box(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """`contract` with the maximum norm, which maps space to the cube [−2, 2]³.

    A cube leaves no cells of a grid unused (scene contraction of nerfacto in nerfstudio).
    """
    length = points.abs().amax(dim=-1, keepdim=True).clamp_min(1.0)
    return (2 - 1 / length) / length * points


def contract_gaussians(gaussians: Gaussians) -> Gaussians:
    """Contract Gaussians, with the map linearized about each mean (Mip-NeRF 360, eq. 9): J Σ
    Jᵀ.

    Outside the unit ball, J = (2 r − 1)/r² (I − u uᵀ) + 1/r² u uᵀ with r = |x| and u = x/r.
    """
    mean, covariance = gaussians.mean, gaussians.covariance
    length = mean.norm(dim=-1, keepdim=True)
    outside = length.clamp_min(1.0)
    across = (2 * outside - 1) / outside.square()
    along = 1 / outside.square()
    unit = mean / length.clamp_min(1e-12)
    # Inside the unit ball both factors are 1, and J is the identity.
    outer = unit[..., :, None] * unit[..., None, :]
    identity = torch.eye(3, dtype=mean.dtype, device=mean.device)
    jacobian = across[..., None] * identity + (along - across)[..., None] * outer
    return Gaussians(contract(mean), jacobian @ covariance @ jacobian.mT)

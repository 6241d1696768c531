"""Decomposition of projection matrices into intrinsics and poses."""

import torch
from jaxtyping import Float
from torch import Tensor


def decompose_projection(
    projection: Float[Tensor, "*batch 3 4"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3 4"]]:
    """K, normalized to K[2, 2] = 1, and world_from_camera of P = λ K [R | t] for any λ ≠ 0.

    The signs of the RQ decomposition are chosen so that focal lengths are positive and R is a
    rotation; P and −P have the same result (Hartley and Zisserman, sec. 6.2.4). ValueError if
    the left 3×3 part of P is singular.
    """
    left = projection[..., :3].double()
    size = left.abs().amax((-2, -1), keepdim=True)
    if not bool((torch.linalg.det(left / size).abs() > 1e-12).all()):
        raise ValueError("the left 3x3 part of a projection matrix is singular")
    # The sign makes det R = 1, since det K is positive.
    left = left * torch.linalg.det(left / size).sign()[..., None, None]
    # RQ decomposition by QR of the matrix with reversed rows.
    flip = torch.eye(3, dtype=left.dtype, device=left.device).flip(0)
    q, r = torch.linalg.qr((flip @ left).mT)
    upper, rotation = flip @ r.mT @ flip, flip @ q.mT
    signs = torch.diag_embed(upper.diagonal(dim1=-2, dim2=-1).sign())
    upper, rotation = upper @ signs, signs @ rotation
    center = -torch.linalg.solve(projection[..., :3].double(), projection[..., 3:].double())
    intrinsics = upper / upper[..., 2:, 2:]
    pose = torch.cat([rotation.mT, center], dim=-1)
    return intrinsics.to(projection.dtype), pose.to(projection.dtype)

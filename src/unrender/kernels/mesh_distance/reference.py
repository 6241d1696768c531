"""Distances and winding numbers in PyTorch: every point and every face, in chunks."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.mesh_distance.triangle import nearest_barycentrics

MAX_PAIRS = 1 << 21
"""Maximum number of point-face pairs in memory at once."""


def nearest_face(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Int[Tensor, "points"]:
    corners = vertices.double()[faces]
    parts = [torch.empty(0, dtype=torch.long, device=points.device)]
    for chunk in points.double().split(max(1, MAX_PAIRS // len(faces))):
        barycentrics = nearest_barycentrics(chunk[:, None], *corners.unbind(1))
        offset = chunk[:, None] - (barycentrics[..., None] * corners).sum(-2)
        parts.append(offset.square().sum(-1).argmin(1))
    return torch.cat(parts)


def winding_number(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Float[Tensor, "points"]:
    """Sum of solid angles by Van Oosterom & Strackee (1983), eq. 8, over 4π."""
    corners = vertices.double()[faces]
    parts = [torch.empty(0, dtype=torch.float64, device=points.device)]
    for chunk in points.double().split(max(1, MAX_PAIRS // len(faces))):
        a, b, c = (corners - chunk[:, None, None]).unbind(2)
        la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
        volume = (a * torch.linalg.cross(b, c)).sum(-1)
        ab, bc, ca = (a * b).sum(-1), (b * c).sum(-1), (c * a).sum(-1)
        half = torch.atan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)
        # From a point in the face's plane the solid angle is 0, even on the face itself.
        parts.append(torch.where(volume == 0, 0, half).sum(1) / (2 * math.pi))
    return torch.cat(parts).to(points.dtype)

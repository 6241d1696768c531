"""Distances and winding numbers in plain torch: every point and every face, some at a time."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.mesh_distance.triangle import nearest_barycentrics

AT_ONCE = 1 << 21
"""Pairs that are held together."""


def nearest_face(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Int[Tensor, "points"]:
    corners = vertices.double()[faces]
    found = [torch.empty(0, dtype=torch.long, device=points.device)]
    for part in points.double().split(max(1, AT_ONCE // len(faces))):
        barycentrics = nearest_barycentrics(part[:, None], *corners.unbind(1))
        away = part[:, None] - (barycentrics[..., None] * corners).sum(-2)
        found.append(away.square().sum(-1).argmin(1))
    return torch.cat(found)


def winding_number(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Float[Tensor, "points"]:
    """By the solid angle of Van Oosterom & Strackee (1983), eq. 8."""
    corners = vertices.double()[faces]
    found = [torch.empty(0, dtype=torch.float64, device=points.device)]
    for part in points.double().split(max(1, AT_ONCE // len(faces))):
        a, b, c = (corners - part[:, None, None]).unbind(2)
        la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
        volume = (a * torch.linalg.cross(b, c)).sum(-1)
        ab, bc, ca = (a * b).sum(-1), (b * c).sum(-1), (c * a).sum(-1)
        half = torch.atan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)
        # A point in a face's plane sees it under no angle, be it on the face itself.
        found.append(torch.where(volume == 0, 0, half).sum(1) / (2 * math.pi))
    return torch.cat(found).to(points.dtype)

"""Intersections of rays and triangles in PyTorch: every ray and every face, in chunks."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.ray_mesh.bvh import TriangleBVH

MAX_PAIRS = 1 << 20
"""Maximum number of ray-face pairs in memory at once."""


def _intersections(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    corners: Float[Tensor, "faces 9"],
) -> tuple[Float[Tensor, "rays faces"], Float[Tensor, "rays faces 3"]]:
    """Ray parameter t of every ray and face, +inf where they miss, and barycentrics.

    With the origin at 0, the sign of d·(b × c) tells on which side of the edge from b to c the
    ray passes.
    """
    directions = directions[:, None].double()
    a, b, c = (corners.double().view(-1, 3, 3) - origins[:, None, None].double()).unbind(2)
    sides = torch.stack(
        [(directions * torch.linalg.cross(p, q)).sum(2) for p, q in ((b, c), (c, a), (a, b))],
        dim=2,
    )
    total = sides.sum(2)
    inside = ((sides >= 0).all(2) | (sides <= 0).all(2)) & (total != 0)
    weights = sides / torch.where(total != 0, total, 1)[..., None]
    points = weights[..., :1] * a + weights[..., 1:2] * b + weights[..., 2:] * c
    distance = (points * directions).sum(2) / directions.square().sum(2)
    hit = inside & (distance > 0)
    return torch.where(hit, distance, torch.inf), weights


def closest_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
) -> tuple[Float[Tensor, "rays"], Int[Tensor, "rays"], Float[Tensor, "rays 3"]]:
    chunk = max(1, MAX_PAIRS // len(bvh.rows))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for first in range(0, max(len(origins), 1), chunk):
        chosen = slice(first, first + chunk)
        distance, weights = _intersections(origins[chosen], directions[chosen], bvh.corners)
        nearest, index = distance.min(1)
        hit = nearest < t_max[chosen]
        weights = weights.gather(1, index[:, None, None].expand(-1, 1, 3))[:, 0]
        parts.append(
            (
                torch.where(hit, nearest.to(t_max), t_max[chosen]),
                torch.where(hit, bvh.rows[index], -1),
                torch.where(hit[:, None], weights, 0).to(origins),
            )
        )
    distance, face, weights = (torch.cat(each) for each in zip(*parts, strict=True))
    return distance, face, weights


def any_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
) -> Bool[Tensor, "rays"]:
    return closest_hit(origins, directions, t_max, bvh)[1] >= 0

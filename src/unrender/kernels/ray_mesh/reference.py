"""Rays and triangles in plain torch: every ray and every face, some at a time."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.ray_mesh.tree import TriangleTree

AT_ONCE = 1 << 20
"""Pairs that are held together."""


def _meetings(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    corners: Float[Tensor, "faces 9"],
) -> tuple[Float[Tensor, "rays faces"], Float[Tensor, "rays faces 3"]]:
    """How far every ray meets every face, +inf where it does not, and where in the face.

    As seen from the origin, d·(b × c) is on which side of the edge from b to c a ray passes.
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
    met = inside & (distance > 0)
    return torch.where(met, distance, torch.inf), weights


def closest_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    farthest: Float[Tensor, "rays"],
    tree: TriangleTree,
) -> tuple[Float[Tensor, "rays"], Int[Tensor, "rays"], Float[Tensor, "rays 3"]]:
    at_once = max(1, AT_ONCE // len(tree.rows))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for part in range(0, max(len(origins), 1), at_once):
        here = slice(part, part + at_once)
        distance, weights = _meetings(origins[here], directions[here], tree.corners)
        nearest, index = distance.min(1)
        met = nearest < farthest[here]
        weights = weights.gather(1, index[:, None, None].expand(-1, 1, 3))[:, 0]
        found.append(
            (
                torch.where(met, nearest.to(farthest), farthest[here]),
                torch.where(met, tree.rows[index], -1),
                torch.where(met[:, None], weights, 0).to(origins),
            )
        )
    distance, face, weights = (torch.cat(each) for each in zip(*found, strict=True))
    return distance, face, weights


def any_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    farthest: Float[Tensor, "rays"],
    tree: TriangleTree,
) -> Bool[Tensor, "rays"]:
    return closest_hit(origins, directions, farthest, tree)[1] >= 0

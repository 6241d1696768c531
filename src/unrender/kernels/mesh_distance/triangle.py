"""The nearest point of a triangle: in its interior, or else on one of its sides.

Ericson, "Real-Time Collision Detection" (2005), 5.1.2 and 5.1.5. Degenerate triangles are
treated as segments, and degenerate segments as points.
"""

import torch
from jaxtyping import Float
from torch import Tensor

FLAT = 1e-12
"""Squared sine between two sides below which a triangle is treated as degenerate."""


def nearest_barycentrics(
    points: Float[Tensor, "*#batch 3"],
    a: Float[Tensor, "*#batch 3"],
    b: Float[Tensor, "*#batch 3"],
    c: Float[Tensor, "*#batch 3"],
) -> Float[Tensor, "*batch 3"]:
    """Barycentric coordinates of the point of each triangle that is nearest to each point."""
    ab, ac, ap = b - a, c - a, points - a
    aa, bb, cross = (ab * ab).sum(-1), (ac * ac).sum(-1), (ab * ac).sum(-1)
    along_b, along_c = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = aa * bb - cross * cross
    v, w = bb * along_b - cross * along_c, aa * along_c - cross * along_b
    inside = (area > FLAT * aa * bb) & (v >= 0) & (w >= 0) & (v + w <= area)
    area = torch.where(inside, area, 1)
    v, w = v / area, w / area
    best = torch.stack([1 - v - w, v, w], dim=-1)
    smallest = torch.where(inside, -1.0, torch.inf)
    for corner, (start, end) in enumerate(((a, b), (b, c), (c, a))):
        side, offset = end - start, points - start
        length2 = (side * side).sum(-1).expand_as(v)
        fraction = ((offset * side).sum(-1) / torch.where(length2 > 0, length2, 1)).clamp(0, 1)
        distance2 = (offset - fraction[..., None] * side).square().sum(-1)
        on_side = torch.stack([1 - fraction, fraction, torch.zeros_like(fraction)], dim=-1)
        nearer = distance2 < smallest
        smallest = torch.where(nearer, distance2, smallest)
        best = torch.where(nearer[..., None], on_side.roll(corner, -1), best)
    return best

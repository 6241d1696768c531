"""Intersection of paths with signed distance functions, from outside or inside.

This is all that `BuiltScene` needs of distance functions. Arrays are [3, paths], as in bsdf.py.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.light.bsdf import Numbers, Vectors, unit
from unrender.shapes.implicit.sdf import SDF

STEPS = 256
"""Steps along a ray after which it counts as a miss."""


def march(
    functions: Sequence[SDF],
    origins: Vectors,
    directions: Vectors,
    farthest: Numbers,
    near: float,
) -> tuple[Numbers, Int[Tensor, "paths"]]:
    """Distance along each ray to a point within `near` of a surface, and the index of its
    function; −1 for a miss.

    Sphere tracing (Hart, "Sphere Tracing", 1996) with steps of the smallest absolute distance,
    so that it works inside too. A ray without a hit after STEPS counts as a miss: it runs along
    a surface. Raises InputError if a function returns NaN.
    """
    distance = torch.zeros_like(farthest)
    which = torch.full_like(farthest, -1, dtype=torch.long)
    ray = (farthest > 0).nonzero()[:, 0]
    gone, limit = distance[ray], farthest[ray]
    start, way = (each.index_select(1, ray) for each in (origins, directions))
    for _ in range(STEPS):
        if len(ray) == 0:
            break
        points = (start + gone * way).T.contiguous()
        least, index = functions[0](points).abs(), torch.zeros_like(ray)
        for number, function in enumerate(functions[1:], 1):
            value = function(points).abs()
            index = torch.where(value < least, number, index)
            # `minimum` propagates NaN, which is tested below.
            least = torch.minimum(value, least)
        if bool(least.isnan().any()):
            raise InputError("a distance function returned NaN: correct it")
        arrived = least < near
        over = arrived | (gone + least >= limit)
        gone = gone + torch.where(over, 0.0, least)
        if bool(over.any()):
            done = arrived.nonzero()[:, 0]
            distance[ray[done]], which[ray[done]] = gone[done], index[done]
            on = (~over).nonzero()[:, 0]
            ray, gone, limit = ray[on], gone[on], limit[on]
            start, way = (each.index_select(1, on) for each in (start, way))
    return distance, which


def gradients(function: SDF, points: Vectors) -> Vectors:
    """Outward normals of a distance function."""
    with torch.enable_grad():
        places = points.T.detach().contiguous().requires_grad_()
        (found,) = torch.autograd.grad(function(places).sum(), places)
    return unit(found.T)

"""Where paths meet signed distance functions, in either direction through their surface.

`BuiltScene` asks nothing else of them: whatever finds the same can take the place of `march`.
Arrays are [3, paths], as in bsdf.py.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.light.bsdf import Numbers, Vectors, unit
from unrender.shapes.implicit.sdf import SDF

STEPS = 256
"""Along a ray, after which it counts as a miss."""


def march(
    functions: Sequence[SDF],
    origins: Vectors,
    directions: Vectors,
    farthest: Numbers,
    near: float,
) -> tuple[Numbers, Int[Tensor, "paths"]]:
    """How far rays go until a surface is within `near`, and which function's; −1 of none.

    Sphere tracing (Hart, "Sphere Tracing", 1996) with steps of the least absolute distance, so
    that it works inside too. A ray that has found nothing after STEPS is taken to miss: it
    runs along a surface. InputError where a function is not a number.
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
            # A number that is none stays, to be found below.
            least = torch.minimum(value, least)
        if bool(least.isnan().any()):
            raise InputError("a distance function is not a number somewhere: correct it")
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

"""Where paths meet signed distance functions, in either direction through their surface.

`BuiltScene` asks nothing else of them: whatever finds the same can take the place of `march`.
Arrays are [3, paths], as in bsdf.py.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.bsdf import Numbers, Vectors, unit
from unrender.scenes.sdf import SDF

STEPS = 512
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
    active = (farthest > 0).nonzero()[:, 0]
    for _ in range(STEPS):
        if len(active) == 0:
            break
        gone = distance[active]
        points = origins[:, active] + gone * directions[:, active]
        values = torch.stack([function(points.T.contiguous()) for function in functions])
        least, index = values.abs().min(0)
        if bool(least.isnan().any()):
            raise InputError("a distance function is not a number somewhere: correct it")
        arrived = least < near
        which[active[arrived]] = index[arrived]
        gone = gone + torch.where(arrived, 0.0, least)
        distance[active] = gone
        active = active[~arrived & (gone < farthest[active])]
    return distance, which


def gradients(function: SDF, points: Vectors) -> Vectors:
    """Outward normals of a distance function."""
    with torch.enable_grad():
        places = points.T.detach().contiguous().requires_grad_()
        (found,) = torch.autograd.grad(function(places).sum(), places)
    return unit(found.T)

"""Surfaces with colours: which part of a scene is nearest, and what it looks like there."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.shapes.implicit.sdf import (
    SDF,
    Scalar,
    Vector,
    as_vector,
    empty,
    smooth_minimum,
    union,
)

ColorField = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points 3"]]
"""Display-referred RGB in [0, 1] at points in space, of which those on a surface are asked."""


@dataclass(frozen=True)
class ColoredSDF:
    """A shape and its colours."""

    sdf: SDF
    color: ColorField


def with_color(sdf: SDF, color: Vector | ColorField) -> ColoredSDF:
    """A shape in one colour, or in one that depends on the place."""
    if callable(color) and not isinstance(color, Tensor):
        return ColoredSDF(sdf, color)
    return ColoredSDF(sdf, lambda points: as_vector(color, points).expand(len(points), 3))


def colored_union(*parts: ColoredSDF, blend: Scalar = 0.0) -> ColoredSDF:
    """All parts, each in its colour; with a `blend`, seams are filled and their colours mix.

    Distances are those of `union` or `smooth_union`, part by part in order. At a seam each
    colour counts as its part does in the distance's gradient: smooth_minimum(a, b) moves with
    h / 2 of the farther one and 1 − h / 2 of the nearer one, h = max(0, 1 − |a − b| / blend).
    """
    if not parts:
        return with_color(empty(), (0.0, 0.0, 0.0))
    sharp = not isinstance(blend, Tensor) and blend == 0
    if sharp:
        sdf = union(*(part.sdf for part in parts))
    else:
        sdf = smooth_union_of([part.sdf for part in parts], blend)

    def color(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        nearest, mixed = parts[0].sdf(points), parts[0].color(points)
        for part in parts[1:]:
            away = part.sdf(points)
            share = (away < nearest).to(points.dtype)
            if sharp:
                nearest = torch.minimum(nearest, away)
            else:
                seam = (1 - (away - nearest).abs() / blend).clamp_min(0) / 2
                share = torch.where(away < nearest, 1 - seam, seam)
                nearest = smooth_minimum(nearest, away, blend)
            mixed = mixed + share[:, None] * (part.color(points) - mixed)
        return mixed

    return ColoredSDF(sdf, color)


def smooth_union_of(parts: list[SDF], blend: Scalar) -> SDF:
    """The smooth union of several parts, in their order."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        found = (part(points) for part in parts)
        return reduce(lambda a, b: smooth_minimum(a, b, blend), found)

    return distance

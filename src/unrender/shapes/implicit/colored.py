"""Signed distance functions with a color at each point, and their unions."""

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
"""Display-referred RGB in [0, 1] at points in space; evaluated at points of the surface."""


@dataclass(frozen=True)
class ColoredSDF:
    """A signed distance function and its colors."""

    sdf: SDF
    color: ColorField


def with_color(sdf: SDF, color: Vector | ColorField) -> ColoredSDF:
    """Give a signed distance function one color, or a color field."""
    if callable(color) and not isinstance(color, Tensor):
        return ColoredSDF(sdf, color)
    return ColoredSDF(sdf, lambda points: as_vector(color, points).expand(len(points), 3))


def colored_union(*parts: ColoredSDF, blend: Scalar = 0.0) -> ColoredSDF:
    """Union of colored parts; with a `blend`, seams are filled and colors mix there.

    Distances are those of `union` or `smooth_union`, part by part in order. In a seam, colors
    have the weights that the parts have in the distance's gradient: with h = max(0, 1 − |a − b|
    / blend), smooth_minimum(a, b) weights the farther part by h / 2 and the nearer one by 1 − h
    / 2.
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
    """Smooth union of several parts, applied in order."""

    def distance(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        found = (part(points) for part in parts)
        return reduce(lambda a, b: smooth_minimum(a, b, blend), found)

    return distance

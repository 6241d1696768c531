"""Occupancy functions: the probability that a point is inside; the surface is at ½."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import is_inside

Occupancy = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]
"""A function from points to probabilities in [0, 1]."""


def mesh_occupancy(mesh: Mesh) -> Occupancy:
    """1 where the mesh's winding number exceeds ½, else 0. The mesh may have holes."""
    return lambda points: is_inside(points, mesh).to(points.dtype)


def sdf_occupancy(sdf: SDF, softness: float = 0.0) -> Occupancy:
    """Occupancy from a signed distance function.

    1 inside and 0 outside; with `softness` > 0, in scene units, sigmoid(−distance / softness).
    """
    if softness == 0:
        return lambda points: (sdf(points) < 0).to(points.dtype)
    return lambda points: (-sdf(points) / softness).sigmoid()

"""Distances from points to triangles, and how often a surface winds around points.

The winding number of a closed mesh whose faces are counterclockwise as seen from outside is 1
inside and 0 outside; of a mesh with holes it passes smoothly from one to the other through
them, and ½ is between (Jacobson et al., "Robust Inside-Outside Segmentation using Generalized
Winding Numbers", SIGGRAPH 2013). It is the sum of the solid angles of all faces over 4π.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.mesh_distance.triangle import nearest_barycentrics
from unrender.kernels.runtime.backend import Backend, implementation


@dataclass(frozen=True)
class NearestFace:
    """The point of a mesh that is nearest to each query. No gradients flow."""

    distance2: Float[Tensor, "points"]
    """Squared, in squared scene units."""
    face: Int[Tensor, "points"]
    """Of points on an edge, either of its faces."""
    barycentrics: Float[Tensor, "points 3"]
    """Of the nearest point in its face: at least 0, with sum 1."""


@torch.no_grad()
def nearest_face(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    backend: Backend = "auto",
) -> NearestFace:
    """The nearest point of the mesh, exact but for rounding. Faces may be without area.

    InputError for a mesh without faces.
    """
    _check(faces)
    face = implementation(__name__, backend, points).nearest_face(points, vertices, faces)
    # In double precision: a small distance is what is left of large coordinates.
    corners = vertices[faces[face]].double()
    barycentrics = nearest_barycentrics(points.double(), *corners.unbind(1))
    away = points - (barycentrics[..., None] * corners).sum(1)
    distance2 = away.square().sum(1)
    return NearestFace(distance2.to(points.dtype), face, barycentrics.to(points.dtype))


@torch.no_grad()
def winding_number(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    backend: Backend = "auto",
) -> Float[Tensor, "points"]:
    """How often the faces wind around each point; ½ on the surface itself. No gradients flow.

    The `reference` and `cuda` backends sum over all faces; `cpu` takes groups of faces that are
    far away for one (see there for the error). InputError for a mesh without faces.
    """
    _check(faces)
    return implementation(__name__, backend, points).winding_number(points, vertices, faces)


def _check(faces: Int[Tensor, "faces 3"]) -> None:
    if len(faces) == 0:
        raise InputError("a mesh without faces has no inside and is at no distance: add faces")

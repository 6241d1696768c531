"""Distances from points to triangle meshes, and winding numbers.

The winding number of a closed mesh whose faces are counterclockwise as seen from outside is 1
inside and 0 outside; across the holes of an open mesh it changes smoothly between the two, and
½ separates inside from outside (Jacobson et al., "Robust Inside-Outside Segmentation using
Generalized Winding Numbers", SIGGRAPH 2013). It is the sum of the solid angles of all faces
over 4π.
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
    """The point of a mesh nearest to each query point; not differentiable."""

    distance2: Float[Tensor, "points"]
    """Squared distance, in squared scene units."""
    face: Int[Tensor, "points"]
    """Row of the face; on an edge, either of its faces."""
    barycentrics: Float[Tensor, "points 3"]
    """Barycentric coordinates of the nearest point: at least 0, with sum 1."""


@torch.no_grad()
def nearest_face(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    backend: Backend = "auto",
) -> NearestFace:
    """The nearest point of the mesh, exact up to rounding. Faces may have zero area.

    InputError if the mesh has no faces.
    """
    _check(faces)
    face = implementation(__name__, backend, points).nearest_face(points, vertices, faces)
    # Double precision avoids cancellation where coordinates are large and distances small.
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
    """Winding number of the faces around each point; ½ on the surface. Not differentiable.

    The `reference` and `cuda` backends sum over all faces; `cpu` approximates groups of distant
    faces (see there for the error). InputError if the mesh has no faces.
    """
    _check(faces)
    return implementation(__name__, backend, points).winding_number(points, vertices, faces)


def _check(faces: Int[Tensor, "faces 3"]) -> None:
    if len(faces) == 0:
        raise InputError("a mesh without faces has neither an inside nor a distance: add faces")

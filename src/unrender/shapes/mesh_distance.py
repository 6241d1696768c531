"""How far points are from a mesh, and whether they are inside it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.kernels.mesh_distance import nearest_face, winding_number
from unrender.kernels.runtime.backend import Backend
from unrender.shapes.mesh import Mesh


def point_to_mesh_distance2(
    points: Float[Tensor, "points 3"], mesh: Mesh, backend: Backend = "auto"
) -> Float[Tensor, "points"]:
    """Squared distance from each point to the nearest one of the mesh, in squared scene units.

    Differentiable in the points and the vertices: as the nearest point is the nearest, where it
    moves in its face makes no difference to first order. InputError for a mesh without faces.
    """
    found = nearest_face(points.detach(), mesh.vertices.detach(), mesh.faces, backend)
    corners = mesh.vertices[mesh.faces[found.face]]
    # Seen from the point, so that what is left of large coordinates is exact.
    away = (found.barycentrics[..., None] * (corners - points[:, None])).sum(1)
    return away.square().sum(1)


@torch.no_grad()
def is_inside(
    points: Float[Tensor, "points 3"], mesh: Mesh, backend: Backend = "auto"
) -> Bool[Tensor, "points"]:
    """Whether the mesh winds around a point more than half: true inside of what is closed.

    Holes are closed as smoothly as they can be, and parts that overlap are all inside; a face
    that is turned the wrong way counts against the others.
    """
    return winding_number(points, mesh.vertices, mesh.faces, backend) > 0.5

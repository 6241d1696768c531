"""Distances from points to meshes, and inside tests."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.kernels.mesh_distance import nearest_face, winding_number
from unrender.kernels.runtime.backend import Backend
from unrender.shapes.mesh import Mesh


def point_to_mesh_distance2(
    points: Float[Tensor, "points 3"], mesh: Mesh, backend: Backend = "auto"
) -> Float[Tensor, "points"]:
    """Squared distance from each point to the mesh, in squared scene units.

    Differentiable in the points and vertices: to first order, how the nearest point moves
    within its face does not matter. Raises InputError for a mesh without faces.
    """
    found = nearest_face(points.detach(), mesh.vertices.detach(), mesh.faces, backend)
    corners = mesh.vertices[mesh.faces[found.face]]
    # Relative to the point, to avoid cancellation between large coordinates.
    away = (found.barycentrics[..., None] * (corners - points[:, None])).sum(1)
    return away.square().sum(1)


@torch.no_grad()
def is_inside(
    points: Float[Tensor, "points 3"], mesh: Mesh, backend: Backend = "auto"
) -> Bool[Tensor, "points"]:
    """Whether the mesh's generalized winding number at each point exceeds ½.

    This is the inside of a closed mesh. Holes are closed smoothly, overlapping parts are all
    inside, and faces of the wrong orientation count against the others.
    """
    return winding_number(points, mesh.vertices, mesh.faces, backend) > 0.5

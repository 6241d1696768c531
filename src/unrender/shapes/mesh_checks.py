"""Checks of meshes for defects such as holes and degenerate faces, and a simple cleanup.

Readers keep files as they are, including degenerate and duplicate faces, non-manifold edges and
unused vertices; these checks report them.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unrender.shapes.components import keep_faces
from unrender.shapes.mesh import Mesh, face_areas

RELATIVE_EPSILON = 1e-7
"""Relative rounding error of single precision."""


def mesh_problems(mesh: Mesh) -> list[str]:
    """One line for each kind of defect, with its count; an empty list for a sound mesh.

    A sound mesh is finite, watertight, consistently oriented, and without degenerate faces,
    duplicate faces or unused vertices. Boundary edges are reported too, though many meshes are
    open on purpose.
    """
    faces, count = mesh.faces, len(mesh.vertices)
    outside = (faces < 0) | (faces >= count)
    if bool(outside.any()):
        number = int(outside.any(1).sum())
        return [f"{number} faces refer to vertices beyond the {count} that the mesh has"]
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].flatten(0, 1)
    sides = sides[sides[:, 0] != sides[:, 1]]
    # One integer per edge sorts much faster than a row of two.
    _, users = (sides.amin(1) * count + sides.amax(1)).unique(return_counts=True)
    _, passes = (sides[:, 0] * count + sides[:, 1]).unique(return_counts=True)
    found = {
        "vertices contain NaN or Inf": ~mesh.vertices.isfinite().all(1),
        "degenerate faces (no area)": degenerate_faces(mesh),
        "duplicate faces": repeated_faces(faces),
        "boundary edges (the mesh is open)": users == 1,
        "non-manifold edges (more than two faces)": users > 2,
        "edges between faces of inconsistent orientation": passes > 1,
        "unused vertices": faces.flatten().bincount(minlength=count) == 0,
    }
    return [f"{int(which.sum())} {what}" for what, which in found.items() if which.any()]


def clean_mesh(mesh: Mesh) -> Mesh:
    """Remove degenerate and duplicate faces; vertices keep their rows.

    Of faces on the same three vertices, in any order, the first is kept.
    """
    return keep_faces(mesh, ~degenerate_faces(mesh) & ~repeated_faces(mesh.faces))


def degenerate_faces(mesh: Mesh) -> Bool[Tensor, "faces"]:
    """Which faces have collinear corners, within the rounding error of single precision.

    That is a height below 1e-7 of the longest side; a face that names a vertex twice is one.
    """
    corners = mesh.vertices.double()[mesh.faces]
    longest = (corners - corners.roll(1, 1)).square().sum(-1).amax(1)
    return 2 * face_areas(mesh.vertices.double(), mesh.faces) <= RELATIVE_EPSILON * longest


def repeated_faces(faces: Int[Tensor, "faces 3"]) -> Bool[Tensor, "faces"]:
    """Which faces have the same vertices, in any order, as an earlier face."""
    if len(faces) == 0:
        return faces.new_zeros(0, dtype=torch.bool)
    a, b, c = faces.sort(dim=1).values.unbind(1)
    count = int(c.max()) + 1
    _, pair = (a * count + b).unique(return_inverse=True)
    _, which = (pair * count + c).unique(return_inverse=True)
    here = torch.arange(len(faces), device=faces.device)
    first = torch.full_like(which, len(faces)).scatter_reduce(0, which, here, "amin")
    return first[which] != here

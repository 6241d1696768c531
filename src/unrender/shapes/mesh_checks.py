"""What may be wrong with a mesh, in words, and what of it can be mended.

Files are read as they are: faces without area, faces that come twice, edges of three faces and
vertices of none are kept, and told of here.
"""

import dataclasses

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unrender.shapes.mesh import Mesh, face_areas
from unrender.shapes.textures import FaceAtlas, UVTexture

RELATIVE_EPSILON = 1e-7
"""Of numbers in single precision, relative."""


def mesh_problems(mesh: Mesh) -> list[str]:
    """A sentence for each kind of problem, with how often it occurs; none for a sound mesh.

    A sound mesh is finite, closed, oriented, and without faces or vertices to spare. Open edges
    are told of too, though many a mesh is meant to have some.
    """
    faces, count = mesh.faces, len(mesh.vertices)
    outside = (faces < 0) | (faces >= count)
    if bool(outside.any()):
        number = int(outside.any(1).sum())
        return [f"{number} faces name vertices that do not exist: of these there are {count}"]
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].flatten(0, 1)
    sides = sides[sides[:, 0] != sides[:, 1]]
    # One number for each edge: rows are far quicker to compare so.
    _, users = (sides.amin(1) * count + sides.amax(1)).unique(return_counts=True)
    _, passes = (sides[:, 0] * count + sides[:, 1]).unique(return_counts=True)
    found = {
        "vertices are not finite": ~mesh.vertices.isfinite().all(1),
        "faces have no area": degenerate_faces(mesh),
        "faces are on the same vertices as another": repeated_faces(faces),
        "edges are open: only one face is on each": users == 1,
        "edges have more than two faces: there the surface branches": users > 2,
        "edges are passed the same way by two faces, of which one is inside out": passes > 1,
        "vertices are on no face": faces.flatten().bincount(minlength=count) == 0,
    }
    return [f"{int(which.sum())} {what}" for what, which in found.items() if which.any()]


def clean_mesh(mesh: Mesh) -> Mesh:
    """Without the faces that have no area and those that come again; vertices keep their rows.

    Of faces on the same three vertices, however turned, the first stays.
    """
    keep = ~degenerate_faces(mesh) & ~repeated_faces(mesh.faces)
    texture = mesh.texture
    if isinstance(texture, UVTexture):
        texture = dataclasses.replace(texture, faces_uv=texture.faces_uv[keep])
    elif isinstance(texture, FaceAtlas):
        texture = FaceAtlas(texture.images[keep])
    return dataclasses.replace(mesh, faces=mesh.faces[keep], texture=texture)


def degenerate_faces(mesh: Mesh) -> Bool[Tensor, "faces"]:
    """Which faces have all corners on a line, within the rounding of single precision.

    That is less height than 1e-7 of the longest side; a vertex that is named twice is one case.
    """
    corners = mesh.vertices.double()[mesh.faces]
    longest = (corners - corners.roll(1, 1)).square().sum(-1).amax(1)
    return 2 * face_areas(mesh.vertices.double(), mesh.faces) <= RELATIVE_EPSILON * longest


def repeated_faces(faces: Int[Tensor, "faces 3"]) -> Bool[Tensor, "faces"]:
    """Which faces are on the same vertices as one before them, however turned."""
    if len(faces) == 0:
        return faces.new_zeros(0, dtype=torch.bool)
    a, b, c = faces.sort(dim=1).values.unbind(1)
    count = int(c.max()) + 1
    _, pair = (a * count + b).unique(return_inverse=True)
    _, which = (pair * count + c).unique(return_inverse=True)
    here = torch.arange(len(faces), device=faces.device)
    first = torch.full_like(which, len(faces)).scatter_reduce(0, which, here, "amin")
    return first[which] != here

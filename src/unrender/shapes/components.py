"""Connected parts of meshes: faces that share vertices, directly or through other faces."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors


def face_components(mesh: Mesh) -> Int[Tensor, "faces"]:
    """The part that each face belongs to: 0 is that of the most faces, and so on."""
    # Importing scipy takes half a second.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    faces, count = mesh.faces.cpu().numpy(), len(mesh.vertices)
    sides = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(sides), bool), (sides[:, 0], sides[:, 1])), (count, count))
    _, label = connected_components(graph, directed=False)
    _, own, sizes = np.unique(label[faces[:, 0]], return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return torch.from_numpy(rank[own]).to(mesh.faces.device)


def largest_component(mesh: Mesh) -> Mesh:
    """The connected part with the most faces, without the others' vertices."""
    return with_faces(mesh, face_components(mesh) == 0) if len(mesh.faces) else mesh


def with_faces(mesh: Mesh, keep: Bool[Tensor, "faces"]) -> Mesh:
    """The marked faces, without vertices that no such face has."""
    return without_unused_vertices(keep_faces(mesh, keep))


def keep_faces(mesh: Mesh, keep: Bool[Tensor, "faces"]) -> Mesh:
    """The marked faces with their part of the texture; vertices keep their rows."""
    texture = mesh.texture
    if isinstance(texture, UVTexture):
        texture = dataclasses.replace(texture, faces_uv=texture.faces_uv[keep])
    elif isinstance(texture, FaceAtlas):
        texture = FaceAtlas(texture.images[keep])
    return dataclasses.replace(mesh, faces=mesh.faces[keep], texture=texture)


def without_unused_vertices(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face has; the others keep their order."""
    used, faces = mesh.faces.unique(return_inverse=True)
    texture = mesh.texture
    if isinstance(texture, VertexColors):
        texture = VertexColors(texture.colors[used])
    normals = None if mesh.normals is None else mesh.normals[used]
    return dataclasses.replace(
        mesh, vertices=mesh.vertices[used], faces=faces, texture=texture, normals=normals
    )

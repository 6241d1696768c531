"""Points on meshes, drawn evenly by area.

The surface of a mesh is laid out as a line, each face as long as its area, and of n points one
is drawn from each n-th of the line: stratified, so that every face gets its share of the points
to within one at either end.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.shapes.mesh import Mesh, Meshes, face_areas, face_normals


@dataclass(frozen=True)
class SurfaceSamples:
    """Points on faces."""

    points: Float[Tensor, "*meshes samples 3"]
    """Gradients reach the vertices: a point stays at its place in its face."""
    normals: Float[Tensor, "*meshes samples 3"]
    """The faces', of unit length."""
    face: Int[Tensor, "*meshes samples"]
    """The row of `faces`; of the packed ones, for a batch."""
    barycentrics: Float[Tensor, "*meshes samples 3"]
    colors: Float[Tensor, "*meshes samples 3"] | None = None
    """Where the mesh has a texture."""


def sample_surface(mesh: Mesh, count: int, generator: torch.Generator) -> SurfaceSamples:
    """So many points of a mesh. InputError if its faces have no area."""
    drawn = sample_surfaces(Meshes.pack([mesh]), count, generator)
    face, barycentrics = drawn.face[0], drawn.barycentrics[0]
    colors = None
    if mesh.texture is not None:
        colors = mesh.texture.sample(mesh.faces, face, barycentrics)
    return SurfaceSamples(drawn.points[0], drawn.normals[0], face, barycentrics, colors)


def sample_surfaces(meshes: Meshes, count: int, generator: torch.Generator) -> SurfaceSamples:
    """So many points of each mesh, by the order of its faces. InputError for one of no area."""
    device = meshes.vertices.device
    # In double precision: the line has a place for each of millions of faces.
    areas = face_areas(meshes.vertices.detach().double(), meshes.faces)
    line = areas.new_zeros(len(areas) + 1)
    line[1:] = areas.cumsum(0)
    start, end = line[meshes.first_face[:-1]], line[meshes.first_face[1:]]
    for index in (~((end > start) & end.isfinite())).nonzero()[:1, 0].tolist():
        raise InputError(
            f"mesh {index} of {len(meshes)}: its faces have no finite area to draw points "
            "from: give it faces of finite vertices that are no lines"
        )

    def uniform(*shape: int) -> Float[Tensor, "..."]:
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        return drawn.to(device, meshes.vertices.dtype)

    share = (torch.arange(count, device=device) + uniform(len(meshes), count).double()) / count
    place = start[:, None] + share * (end - start)[:, None]
    # Rounding may reach the end, which is the next mesh's first face.
    place = torch.minimum(place, torch.nextafter(end, start)[:, None])
    # The first face that ends beyond the place: never one without area.
    face = torch.searchsorted(line[1:], place, right=True)
    # Uniform in a triangle (Osada et al., "Shape Distributions", 2002).
    root, along = uniform(len(meshes), count).sqrt(), uniform(len(meshes), count)
    barycentrics = torch.stack([1 - root, root * (1 - along), root * along], dim=-1)
    corners = meshes.vertices[meshes.faces[face]]
    points = (barycentrics[..., None] * corners).sum(-2)
    normals = normalize(face_normals(meshes.vertices, meshes.faces), dim=-1)[face]
    return SurfaceSamples(points, normals, face, barycentrics)

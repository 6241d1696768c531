"""Uniform random samples of mesh surfaces.

Faces are laid out on a line in proportion to their areas, the line is divided into n equal
parts, and one point is sampled in each part. With this stratification, the number of samples of
a face differs from its expected value by at most one at either end.
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
    """Points on faces, with normals and colors."""

    points: Float[Tensor, "*meshes samples 3"]
    """Differentiable in the vertices: barycentric coordinates stay constant."""
    normals: Float[Tensor, "*meshes samples 3"]
    """Unit face normals."""
    face: Int[Tensor, "*meshes samples"]
    """Rows of `faces`; in a batch, of the packed faces."""
    barycentrics: Float[Tensor, "*meshes samples 3"]
    colors: Float[Tensor, "*meshes samples 3"] | None = None
    """Texture colors; None for a mesh without texture."""


def sample_surface(mesh: Mesh, count: int, generator: torch.Generator) -> SurfaceSamples:
    """`count` points of a mesh. Raises InputError if its faces have no area."""
    drawn = sample_surfaces(Meshes.pack([mesh]), count, generator)
    face, barycentrics = drawn.face[0], drawn.barycentrics[0]
    colors = None
    if mesh.texture is not None:
        colors = mesh.texture.sample(mesh.faces, face, barycentrics)
    return SurfaceSamples(drawn.points[0], drawn.normals[0], face, barycentrics, colors)


def sample_surfaces(meshes: Meshes, count: int, generator: torch.Generator) -> SurfaceSamples:
    """`count` points of each mesh, in the order of its faces.

    Raises InputError for a mesh whose faces have no finite area.
    """
    device = meshes.vertices.device
    # In double precision, as the line must resolve millions of faces.
    areas = face_areas(meshes.vertices.detach().double(), meshes.faces)
    line = areas.new_zeros(len(areas) + 1)
    line[1:] = areas.cumsum(0)
    start, end = line[meshes.first_face[:-1]], line[meshes.first_face[1:]]
    for index in (~((end > start) & end.isfinite())).nonzero()[:1, 0].tolist():
        raise InputError(
            f"mesh {index} of {len(meshes)}: its faces have no finite area to sample: give "
            "finite vertices and faces that are not degenerate"
        )

    def uniform(*shape: int) -> Float[Tensor, "..."]:
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        return drawn.to(device, meshes.vertices.dtype)

    share = (torch.arange(count, device=device) + uniform(len(meshes), count).double()) / count
    position = start[:, None] + share * (end - start)[:, None]
    # Rounding may reach the end, which belongs to the next mesh.
    position = torch.minimum(position, torch.nextafter(end, start)[:, None])
    # The first face that ends beyond the position, which always has area.
    face = torch.searchsorted(line[1:], position, right=True)
    # Uniform in a triangle (Osada et al., "Shape Distributions", 2002).
    root, along = uniform(len(meshes), count).sqrt(), uniform(len(meshes), count)
    barycentrics = torch.stack([1 - root, root * (1 - along), root * along], dim=-1)
    corners = meshes.vertices[meshes.faces[face]]
    points = (barycentrics[..., None] * corners).sum(-2)
    normals = normalize(face_normals(meshes.vertices, meshes.faces), dim=-1)[face]
    return SurfaceSamples(points, normals, face, barycentrics)

"""A mesh from images of normals: moved until it shows them.

Silhouettes and normals are drawn with antialiased edges, and vertices descend as in Nicolet,
Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry" (2021): see
methods/mesh_from_views.py, which does the same with colours.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.optimizers.adam import UniformAdam
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.shapes.deforming import DeformingMesh
from unrender.shapes.mesh import Mesh


def mesh_showing_normals(
    mesh: Mesh,
    cameras: Cameras,
    normals: Float[Tensor, "views height width 3"],
    opacity: Float[Tensor, "views height width"],
    steps: int = 200,
    rate: float = 0.03,
    smoothness: float = 10.0,
) -> Mesh:
    """The mesh with its vertices moved until it shows these normals and silhouettes.

    Normals are in the world, of unit length where the object is. `rate` is a share of the
    mesh's size; `smoothness` says how far vertices take their neighbours along
    (scenes/deforming.py). InputError if a normal is not finite, or no pixel shows the object.
    """
    if not bool(normals.isfinite().all()):
        raise InputError("the images of normals are not all finite: set what is not known to 0")
    if not bool((opacity > 0).any()):
        raise InputError("no image shows the object: its opacity is 0 everywhere")
    surface = DeformingMesh(mesh.vertices.detach(), mesh.faces, smoothness)
    size = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())
    optimizer = UniformAdam([{"params": [surface.coordinates]}], rate * size)
    target = torch.cat([normals * opacity[..., None], opacity[..., None]], dim=3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * size * 0.1 ** (step / steps)
        seen = mesh_renderer(surface.mesh())(cameras)
        assert seen.normals is not None, "renderers of meshes give normals"
        shown = torch.cat([seen.normals * seen.opacity[..., None], seen.opacity[..., None]], 3)
        optimizer.zero_grad()
        (shown - target).square().mean().backward()
        optimizer.step()
    return Mesh(surface.vertices().detach(), mesh.faces)

"""A mesh from images of normals, by differentiable rasterization.

Silhouettes and normals are rendered with antialiased edges, and vertices are optimized as in
Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry" (2021):
methods/mesh_from_views.py does the same with colors.
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
    """Optimize the vertices so that the mesh renders to these normals and silhouettes.

    Normals are in the world frame, of unit length where the object is. `rate` is the step size
    relative to the mesh's size; `smoothness` is the weight of the Laplacian in the vertices'
    parameterization (shapes/deforming.py). Raises InputError if a normal is NaN or Inf, or no
    pixel shows the object.
    """
    if not bool(normals.isfinite().all()):
        raise InputError("the normals contain NaN or Inf: set unknown ones to 0")
    if not bool((opacity > 0).any()):
        raise InputError("the opacity is 0 everywhere: give images that show the object")
    surface = DeformingMesh(mesh.vertices.detach(), mesh.faces, smoothness)
    size = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())
    optimizer = UniformAdam([{"params": [surface.coordinates]}], rate * size)
    target = torch.cat([normals * opacity[..., None], opacity[..., None]], dim=3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * size * 0.1 ** (step / steps)
        found = mesh_renderer(surface.mesh())(cameras)
        assert found.normals is not None, "renderers of meshes return normals"
        alpha = found.opacity[..., None]
        rendered = torch.cat([found.normals * alpha, alpha], 3)
        optimizer.zero_grad()
        (rendered - target).square().mean().backward()
        optimizer.step()
    return Mesh(surface.vertices().detach(), mesh.faces)

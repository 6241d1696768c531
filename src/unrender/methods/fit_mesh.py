"""A sphere of triangles that deforms into a shape: chamfer distance, and smoothness.

Points drawn on the mesh and on the shape attract each other as in Wang et al., "Pixel2Mesh"
(2018), https://arxiv.org/abs/1804.01654, sec. 3.4, whose normal, Laplacian and edge losses are
here too. Vertices descend in the coordinates of Nicolet et al., "Large Steps in Inverse
Rendering of Geometry" (2021), so that neighbours move together and the sphere does not crumple.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unrender.data.shape_target import ShapeTarget
from unrender.geometry.cameras import Cameras
from unrender.optimizers.adam import UniformAdam
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.rendering.renderer import Rendering
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.deforming import DeformingMesh
from unrender.shapes.losses import edge_length_loss, laplacian_smoothing, normal_consistency
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.sampling import sample_surface
from unrender.training.method import Progress
from unrender.training.shape_fit import ShapeFit


class MeshModel(nn.Module):
    """A deforming mesh in the unit frame, and where that lies in the file's."""

    center: Tensor
    size: Tensor

    def __init__(self, surface: DeformingMesh):
        super().__init__()
        self.surface = surface
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))


@dataclass(frozen=True)
class MeshFit(ShapeFit[MeshModel]):
    """An icosphere whose vertices move."""

    level: int = 4
    """Times that an icosahedron's faces are quartered: 10·4^level + 2 vertices."""
    samples: int = 10_000
    """Points that a step draws on the mesh, and on the shape."""
    smoothness: float = 5.0
    """λ of the coordinates: how far a vertex takes its neighbours along."""
    rate: float = 0.05
    """Learning rate; it falls to a twentieth along half a cosine."""
    normals: float = 1e-3
    """Weight of the normals' difference, where the shape has normals."""
    laplacian: float = 1e-4
    """Weight of the distance of vertices from the middle of their neighbours."""
    consistency: float = 1e-5
    """Weight of the bend between neighbouring faces."""
    edges: float = 1e-3
    """Weight of the edges' squared length."""

    def build(self, data: ShapeTarget, generator: torch.Generator) -> MeshModel:
        sphere = icosphere(self.level)
        model = MeshModel(DeformingMesh(0.5 * sphere.vertices, sphere.faces, self.smoothness))
        model.center.copy_(data.center)
        model.size.fill_(data.size)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> MeshModel:
        sphere = icosphere(self.level)
        model = MeshModel(DeformingMesh(sphere.vertices, sphere.faces, self.smoothness))
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: MeshModel) -> torch.optim.Optimizer:
        return UniformAdam(model.parameters(), self.rate)

    def learning_rate(self, progress: Progress) -> float:
        return progress.falling(0.05)

    def losses(
        self,
        model: MeshModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        mesh, topology = model.surface.mesh(), model.surface.topology
        drawn = sample_surface(mesh, self.samples, generator)
        points, normals = data.sample(self.samples, generator)
        near = chamfer_distance(
            drawn.points[None],
            points[None],
            normals_a=drawn.normals[None],
            normals_b=None if normals is None else normals[None],
        )
        terms = {
            "chamfer": near.distance[0],
            "laplacian": self.laplacian * laplacian_smoothing(mesh.vertices, topology),
            "consistency": self.consistency * normal_consistency(mesh.vertices, topology),
            "edges": self.edges * edge_length_loss(mesh.vertices, topology),
        }
        if near.normals is not None:
            terms["normals"] = self.normals * near.normals[0]
        return terms

    def shape(self, model: MeshModel) -> Mesh:
        mesh = model.surface.mesh()
        return mesh.with_vertices(mesh.vertices.detach() * model.size + model.center)

    def render(self, model: MeshModel, cameras: Cameras) -> Rendering:
        return mesh_renderer(self.shape(model))(cameras)

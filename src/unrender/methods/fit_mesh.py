"""A sphere of triangles that deforms into a shape, by chamfer distance and smoothness losses.

The chamfer distance between points sampled on the mesh and on the shape is minimized, with the
differences of normals at nearest points: the losses of Gkioxari, Malik, Johnson, "Mesh R-CNN",
ICCV 2019, https://arxiv.org/abs/1906.02739. Edge lengths are those of Wang et al.,
"Pixel2Mesh", ECCV 2018, https://arxiv.org/abs/1804.01654, sec. 3.4. Vertices are optimized in
the coordinates of Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry",
2021, https://doi.org/10.1145/3478513.3480501, by their Adam with one step size for all entries
(`shapes/deforming.py`, `optimizers/adam.py`), so that neighbors move together and the sphere
does not crumple.

The preset `fit-mesh` is ours: an icosphere of 2,562 vertices, 10,000 points a step, λ = 5 and
weights found by trial. Where it differs from the papers: no network predicts the mesh; the
Laplacian is pulled to zero, where Pixel2Mesh keeps it as before a deformation; the consistency
of adjacent normals is added; and Pixel2Mesh's own normal loss, between edges and true normals,
is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unrender.data.shape_target import ShapeTarget
from unrender.geometry.cameras import Cameras
from unrender.optimizers.adam import UniformAdam
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.deforming import DeformingMesh
from unrender.shapes.losses import edge_length_loss, laplacian_smoothing, normal_consistency
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.sampling import sample_surface
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.method import DataKind, Method, Progress


class MeshModel(nn.Module):
    """A deforming mesh in the unit frame, and the transform to the file's frame."""

    center: Tensor
    size: Tensor

    def __init__(self, surface: DeformingMesh):
        super().__init__()
        self.surface = surface
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))


@dataclass(frozen=True)
class MeshFit(Method[MeshModel, ShapeTarget]):
    """An icosphere that deforms into a shape (2018, 2021)."""

    data: ClassVar[DataKind[Any, Any]] = SHAPE
    has_shape: ClassVar[bool] = True

    level: int = 4
    """Subdivision level of the icosphere, which has 10·4^level + 2 vertices."""
    samples: int = 10_000
    """Points sampled per step on the mesh, and on the shape."""
    smoothness: float = 5.0
    """λ of the preconditioner: how strongly neighboring vertices move together."""
    learning_rate: float = 0.05
    """Learning rate; it decays to a twentieth along half a cosine."""
    normals: float = 1e-3
    """Weight of the normal loss, where the shape has normals."""
    laplacian: float = 1e-4
    """Weight of Laplacian smoothing: distances of vertices from the mean of their neighbors."""
    consistency: float = 1e-5
    """Weight of normal consistency between adjacent faces."""
    edges: float = 1e-3
    """Weight of the squared edge lengths."""

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
        return UniformAdam(model.parameters(), self.learning_rate)

    def schedule(self, progress: Progress) -> float:
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
        return shape_renderer(self.shape(model))(cameras)

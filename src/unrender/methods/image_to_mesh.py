"""A closed mesh from one image: a sphere whose vertices are moved.

Wang et al., "Pixel2Mesh", ECCV 2018, https://arxiv.org/abs/1804.01654, for the losses; fully
connected layers give all offsets at once, as the "Sphere FC" baseline of Gkioxari, Malik,
Johnson, "Mesh R-CNN", ICCV 2019, https://arxiv.org/abs/1906.02739. Points drawn from the mesh,
not its vertices, are held against points of the true surface, so that faces move too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.networks import LinearLayer
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.losses import (
    Topology,
    edge_length_loss,
    laplacian_smoothing,
    normal_consistency,
)
from unrender.shapes.mesh import Mesh, Meshes
from unrender.shapes.primitives import icosphere
from unrender.shapes.sampling import sample_surfaces
from unrender.shapes.shape import Shape
from unrender.training.image_to_shape import ImageToShape, ShapeModel
from unrender.training.method import Progress

RADIUS = 0.35
"""Of the sphere that all meshes begin as."""


class MeshModel(ShapeModel):
    """An encoder, and layers to the offsets of a sphere's vertices."""

    sphere: Tensor
    faces: Tensor

    def __init__(self, options: "ImageToMesh", size: int, generator: torch.Generator):
        super().__init__(size, options.encoder_width, generator)
        template = icosphere(options.level)
        self.register_buffer("sphere", RADIUS * template.vertices, persistent=False)
        self.register_buffer("faces", template.faces, persistent=False)
        self.first = LinearLayer(self.code_size, options.width, generator)
        self.second = LinearLayer(options.width, options.width, generator)
        self.last = LinearLayer(options.width, template.vertices.numel(), generator)
        with torch.no_grad():
            # Neighbours begin as neighbours.
            self.last.weight.mul_(0.01)

    def vertices(
        self, code: Float[Tensor, "images code"]
    ) -> Float[Tensor, "images vertices 3"]:
        hidden = self.second(self.first(code).relu()).relu()
        return self.sphere + self.last(hidden).unflatten(1, (-1, 3))


@cache
def _topology(level: int, count: int, device: torch.device) -> Topology:
    """Of so many spheres side by side; each batch has the same."""
    sphere = icosphere(level)
    vertices = sphere.vertices.expand(count, -1, -1)
    return Topology.of(Meshes.with_shared_faces(vertices.to(device), sphere.faces.to(device)))


@dataclass(frozen=True)
class ImageToMesh(ImageToShape[MeshModel]):
    """A closed mesh from one image, by moving a sphere's vertices (2018)."""

    level: int = 4
    """Of the icosphere: it has 10·4^level + 2 vertices."""
    width: int = 1024
    """Units of a hidden layer."""
    samples: int = 1536
    """Points of the mesh and of the true surface that a training step looks at."""
    laplacian: float = 0.1
    """Weight of the vertices' distances from the means of their neighbours."""
    normal: float = 0.001
    """Weight of how faces bend about their edges."""
    edge: float = 0.2
    """Weight of the edges' squared lengths."""

    def model(self, size: int, generator: torch.Generator) -> MeshModel:
        return MeshModel(self, size, generator)

    def losses(
        self,
        model: MeshModel,
        data: ImageShapePairs,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = data.draw(self.batch, generator)
        model.train()
        with self.autocast(data.images.device):
            vertices = model.vertices(model.encode(data.rgba(drawn))).float()
        meshes = Meshes.with_shared_faces(vertices, model.faces)
        topology = _topology(self.level, self.batch, vertices.device)
        points = sample_surfaces(meshes, self.samples, generator).points
        truth, _ = data.surface(drawn, self.samples, generator)
        flat = meshes.vertices
        return {
            "chamfer": chamfer_distance(points, truth, squared=False).distance.mean(),
            "laplacian": self.laplacian * laplacian_smoothing(flat, topology),
            "normal": self.normal * normal_consistency(flat, topology),
            "edge": self.edge * edge_length_loss(flat, topology),
        }

    def decode(self, model: MeshModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        return [Mesh(vertices, model.faces) for vertices in model.vertices(code)]

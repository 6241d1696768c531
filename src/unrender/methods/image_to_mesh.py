"""A closed mesh from one image: a sphere, all of whose vertices are offset at once.

The network is that of Kato, Ushiku, Harada, "Neural 3D Mesh Renderer", CVPR 2018,
https://arxiv.org/abs/1711.07566: fully connected layers decode an image's code to the offset of
every vertex of a sphere. Kato et al. learn from silhouettes; here the true shapes are known,
and the losses are those of Gkioxari, Malik, Johnson, "Mesh R-CNN", ICCV 2019,
https://arxiv.org/abs/1906.02739: the chamfer distance between points sampled on the mesh and on
the true surface, and the mean squared length of edges. Pixel2Mesh (Wang et al., ECCV 2018)
compares vertices instead, and moves them by graph convolutions, as Mesh R-CNN does.

The preset `image-to-mesh` has the losses, samples and rates that the authors' code of Mesh
R-CNN has for spheres on ShapeNet: the squared chamfer distance of 5,000 points with weight 1,
edges with weight 0.2 and no normals; an icosphere of level 4; 64 images a step, Adam at 1e-4.
Where it differs: two hidden layers of 1,024 in place of graph convolutions, which also would
see features of the image at each vertex; ResNet-18 (`training/image_to_shape.py`) in place of
ResNet-50; shapes in the canonical frame of their family with a longest side of 1, not in the
camera's; and a sphere that begins with a radius of 0.35.

`image-to-mesh-fast`, for two cores, is ours: distances are not squared, and there are Laplacian
smoothing (`shapes/losses.py`; not Pixel2Mesh's, which compares the Laplacian before and after a
deformation) and the consistency of adjacent normals, which is in none of these papers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.networks import LinearLayer
from unrender.flows.precision import autocast
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
"""Radius of the initial sphere."""


class MeshModel(ShapeModel):
    """An encoder, and a decoder to the offsets of a sphere's vertices."""

    sphere: Tensor
    faces: Tensor

    def __init__(self, options: "ImageToMesh", size: int, generator: torch.Generator):
        super().__init__(options, size, generator)
        template = icosphere(options.level)
        self.register_buffer("sphere", RADIUS * template.vertices, persistent=False)
        self.register_buffer("faces", template.faces, persistent=False)
        self.first = LinearLayer(self.code_size, options.width, generator)
        self.second = LinearLayer(options.width, options.width, generator)
        self.last = LinearLayer(options.width, template.vertices.numel(), generator)
        with torch.no_grad():
            # Neighboring vertices start with similar offsets.
            self.last.weight.mul_(0.01)

    def vertices(
        self, code: Float[Tensor, "images code"]
    ) -> Float[Tensor, "images vertices 3"]:
        hidden = self.second(self.first(code).relu()).relu()
        return self.sphere + self.last(hidden).unflatten(1, (-1, 3))


@cache
def _topology(level: int, count: int, device: torch.device) -> Topology:
    """Topology of `count` icospheres side by side; each batch has the same."""
    sphere = icosphere(level)
    vertices = sphere.vertices.expand(count, -1, -1)
    return Topology.of(Meshes.with_shared_faces(vertices.to(device), sphere.faces.to(device)))


@dataclass(frozen=True)
class ImageToMesh(ImageToShape[MeshModel]):
    """A closed mesh from one image, by deforming a sphere (2018, 2019)."""

    level: int = 4
    """Subdivision level of the icosphere, which has 10·4^level + 2 vertices."""
    width: int = 1024
    """Units per hidden layer."""
    samples: int = 1536
    """Points sampled per step on the mesh and on the true surface."""
    squared: bool = False
    """Whether the chamfer distance averages squared distances, as in the papers."""
    laplacian: float = 0.1
    """Weight of Laplacian smoothing."""
    normal: float = 0.001
    """Weight of normal consistency between adjacent faces."""
    edge: float = 0.2
    """Weight of the squared edge lengths."""

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
        with autocast(self.precision, data.images.device):
            vertices = model.vertices(model.encode(data.rgba(drawn))).float()
        meshes = Meshes.with_shared_faces(vertices, model.faces)
        topology = _topology(self.level, self.batch, vertices.device)
        points = sample_surfaces(meshes, self.samples, generator).points
        truth, _ = data.surface(drawn, self.samples, generator)
        flat = meshes.vertices
        return {
            "chamfer": chamfer_distance(points, truth, squared=self.squared).distance.mean(),
            "laplacian": self.laplacian * laplacian_smoothing(flat, topology),
            "normal": self.normal * normal_consistency(flat, topology),
            "edge": self.edge * edge_length_loss(flat, topology),
        }

    def decode(self, model: MeshModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        return [Mesh(vertices, model.faces) for vertices in model.vertices(code)]

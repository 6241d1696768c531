"""A mesh from images with alpha, by differentiable rasterization.

A sphere of triangles is rasterized (`rendering/mesh/raster.py`) with edges antialiased after
Laine, Hellsten, Karras, Seol, Lehtinen, Aila, "Modular Primitives for High-Performance
Differentiable Rendering", 2020, https://arxiv.org/abs/2011.03277, so that images have gradients
at silhouettes. Vertices are optimized in the coordinates of Nicolet, Jacobson, Jakob, "Large
Steps in Inverse Rendering of Geometry", 2021, https://doi.org/10.1145/3478513.3480501, so that
the gradients at silhouettes move the surface in between, too; their Adam has one step size for
all entries (`shapes/deforming.py`, `optimizers/adam.py`). Colors belong to vertices.

The preset `mesh-from-views` is ours, for five minutes on two cores: an icosphere of 2,562
vertices, λ = 10 and four images a step, of at most 200 pixels. Where it differs from Laine et
al.: silhouettes are found from the mesh's edges, not from neighboring pixels
(`rendering/mesh/antialias.py`), and there are no textures. Where it differs from Nicolet et
al.: the sphere is not remeshed, colors do not depend on a light or on the view, opacity has a
squared error besides the L1 error of colors, and Laplacian smoothing and the consistency of
adjacent normals are added with small weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.geometry.cameras import Cameras
from unrender.optimizers.adam import UniformAdam
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.rendering.renderer import Rendering, camera_batches
from unrender.shapes.deforming import DeformingMesh
from unrender.shapes.losses import laplacian_smoothing, normal_consistency
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.textures import VertexColors
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress

PIXELS_AT_ONCE = 1 << 21


class MeshModel(nn.Module):
    """A deforming mesh with vertex colors, in the frame of the bounding sphere."""

    def __init__(self, surface: DeformingMesh):
        super().__init__()
        self.ball = Ball()
        self.surface = surface
        self.colors = nn.Parameter(torch.zeros(len(surface.coordinates), 3))
        self._sides: EdgeTopology | None = None

    @property
    def sides(self) -> EdgeTopology:
        """Edges and their adjacent faces, on the device of the faces."""
        device = self.surface.faces.device
        if self._sides is None or self._sides.vertices.device != device:
            self._sides = EdgeTopology.of(self.surface.mesh())
        return self._sides

    def mesh(self) -> Mesh:
        """The mesh with its colors, in the world frame."""
        vertices = self.ball.center + self.ball.radius * self.surface.vertices()
        return Mesh(vertices, self.surface.faces, VertexColors(self.colors.sigmoid()))

    def draw(self, mesh: Mesh, cameras: Cameras) -> Float[Tensor, "cameras height width 5"]:
        """Premultiplied color and opacity, and the distance along the ray times opacity."""
        assert isinstance(mesh.texture, VertexColors), "a mesh of this model"
        fragments = rasterize_mesh(mesh, cameras)
        ones = torch.ones_like(mesh.vertices[:, :1])
        values = torch.cat([mesh.texture.colors, ones, mesh.vertices], dim=1)
        seen = fragments.interpolate(values, mesh.faces)
        eyes = cameras.centers.index_select(0, fragments.image)
        distance = (seen[:, 4:] - eyes).norm(dim=1, keepdim=True)
        image = fragments.spread(torch.cat([seen[:, :4], distance], dim=1))[..., 0, :]
        return antialiased(image, fragments, self.sides)


@dataclass(frozen=True)
class MeshFromViews(Method[MeshModel, Views]):
    """An icosphere that deforms to match silhouettes and colors (2020, 2021)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    has_shape: ClassVar[bool] = True

    level: int = 4
    """Subdivision level of the icosphere, which has 10·4^level + 2 vertices."""
    radius: float = 0.5
    """Radius of the initial sphere, in radii of the bounding sphere."""
    views: int = 4
    """Images per training step."""
    max_image_side: int = 200
    """Maximum side of these images in pixels; larger views are downscaled."""
    smoothness: float = 10.0
    """λ of the preconditioner: how strongly neighboring vertices move together."""
    learning_rate: float = 0.05
    """Learning rate of the coordinates; it decays to a twentieth along half a cosine."""
    color_learning_rate: float = 0.02
    """Learning rate of the logits of the colors."""
    silhouette: float = 1.0
    """Weight of the squared error of opacity; the L1 loss of colors has weight 1."""
    laplacian: float = 1e-3
    """Weight of Laplacian smoothing: distances of vertices from the mean of their neighbors."""
    consistency: float = 1e-3
    """Weight of normal consistency between adjacent faces."""

    def build(self, data: Views, generator: torch.Generator) -> MeshModel:
        sphere = icosphere(self.level)
        surface = DeformingMesh(self.radius * sphere.vertices, sphere.faces, self.smoothness)
        model = MeshModel(surface)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> MeshModel:
        sphere = icosphere(self.level)
        surface = DeformingMesh(sphere.vertices, sphere.faces, self.smoothness)
        model = MeshModel(surface)
        model.load_state_dict(dict(tensors))
        return model

    def prepare(self, model: MeshModel, data: Views) -> Views:
        if not data.has_alpha and data.background is None:
            raise InputError(
                "the views have neither alpha nor one color behind the object, so that they "
                "show no silhouettes: cut it out, and name the --masks"
            )
        data, sizes = data.with_alpha(), data.cameras.sizes
        return data.with_sizes(sizes.within(self.max_image_side))

    def optimizer(self, model: MeshModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.surface.coordinates], "lr": self.learning_rate},
            {"params": [model.colors], "lr": self.color_learning_rate, "uniform": False},
        ]
        return UniformAdam(groups, self.learning_rate)

    def schedule(self, progress: Progress) -> float:
        return progress.falling(0.05)

    def losses(
        self,
        model: MeshModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        chosen = torch.randperm(len(data), generator=generator)[: self.views]
        mesh, vertices = model.mesh(), model.surface.vertices()
        topology = model.surface.topology
        opacity = color = square = torch.zeros((), device=vertices.device)
        for part in data.select(chosen).by_size():
            share = len(part) / len(chosen)
            error = model.draw(mesh, part.cameras)[..., :4] - part.images
            opacity = opacity + share * error[..., 3].square().mean()
            color = color + share * error[..., :3].abs().mean()
            square = square + share * error[..., :3].detach().square().mean()
        return {
            "silhouette": self.silhouette * opacity,
            "color": color,
            "laplacian": self.laplacian * laplacian_smoothing(vertices, topology),
            "consistency": self.consistency * normal_consistency(vertices, topology),
            "metric/psnr": -10 * square.log10(),
        }

    def shape(self, model: MeshModel) -> Mesh:
        mesh = model.mesh()
        assert isinstance(mesh.texture, VertexColors), "a mesh of this model"
        colors = VertexColors(mesh.texture.colors.detach())
        return Mesh(mesh.vertices.detach(), mesh.faces, colors)

    def render(self, model: MeshModel, cameras: Cameras) -> Rendering:
        """Render unlit vertex colors; differentiable in camera poses."""
        mesh = self.shape(model)
        parts = [model.draw(mesh, part) for part in camera_batches(cameras, PIXELS_AT_ONCE)]
        color, opacity, distance = torch.cat(parts).split([3, 1, 1], dim=3)
        depth = distance / opacity.clamp_min(1e-6)
        return Rendering(color, opacity[..., 0], depth[..., 0])

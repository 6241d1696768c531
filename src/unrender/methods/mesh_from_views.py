"""A mesh from photographs of an object that is cut out: by silhouettes and colours.

A sphere of triangles is drawn (rendering/raster.py), its edges antialiased after Laine et al.,
"Modular Primitives for High-Performance Differentiable Rendering" (2020),
https://arxiv.org/abs/2011.03277, so that images have gradients by where silhouettes are. Its
vertices descend in the coordinates of Nicolet, Jacobson, Jakob, "Large Steps in Inverse
Rendering of Geometry" (2021), https://doi.org/10.1145/3478513.3480501, so that what silhouettes
say moves the surface between them too. Colours are the vertices', the same from everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from unrender.training.method import Method, Progress
from unrender.training.shape_fit import HoldsShape

PIXELS_AT_ONCE = 1 << 21


class MeshModel(nn.Module):
    """A deforming mesh in the frame of the ball that the cameras look at, and its colours."""

    def __init__(self, surface: DeformingMesh):
        super().__init__()
        self.ball = Ball()
        self.surface = surface
        self.colors = nn.Parameter(torch.zeros(len(surface.coordinates), 3))
        self._sides: EdgeTopology | None = None

    @property
    def sides(self) -> EdgeTopology:
        """Of the faces, on the device where they are."""
        device = self.surface.faces.device
        if self._sides is None or self._sides.vertices.device != device:
            self._sides = EdgeTopology.of(self.surface.mesh())
        return self._sides

    def mesh(self) -> Mesh:
        """In the world, with its colours."""
        vertices = self.ball.center + self.ball.radius * self.surface.vertices()
        return Mesh(vertices, self.surface.faces, VertexColors(self.colors.sigmoid()))

    def draw(self, mesh: Mesh, cameras: Cameras) -> Float[Tensor, "cameras height width 5"]:
        """Colour and opacity, premultiplied, and the distance along the ray times opacity."""
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
class MeshFromViews(Method[MeshModel, Views], HoldsShape[MeshModel]):
    """An icosphere that deforms until its silhouettes and colours are those of the views."""

    level: int = 4
    """Times that an icosahedron's faces are quartered: 10·4^level + 2 vertices."""
    radius: float = 0.5
    """Of the sphere at the start, in radii of the ball that the cameras look at."""
    views: int = 4
    """Images that a step draws."""
    longest: int = 200
    """Pixels of the longer side of these images; larger views are made smaller."""
    smoothness: float = 10.0
    """λ of the coordinates: how far a vertex takes its neighbours along."""
    rate: float = 0.05
    """Learning rate of the coordinates; it falls to a twentieth along half a cosine."""
    color_rate: float = 0.02
    """Learning rate of the colours' logits."""
    silhouette: float = 1.0
    """Weight of the opacities' mean square error; that of the colours' absolute error is 1."""
    laplacian: float = 1e-3
    """Weight of the distance of vertices from the middle of their neighbours."""
    consistency: float = 1e-3
    """Weight of the bend between neighbouring faces."""

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
                "the views have neither alpha nor one colour behind the object, so that they "
                "show no silhouettes: cut it out, and name the --masks"
            )
        data = replace(data, images=data.rgba, background=None)
        scale = self.longest / max(data.cameras.width, data.cameras.height)
        if scale < 1:
            sizes = (data.cameras.width, data.cameras.height)
            data = data.resized(*(max(1, round(scale * pixels)) for pixels in sizes))
        return data

    def optimizer(self, model: MeshModel) -> torch.optim.Optimizer:
        groups = [
            {"params": [model.surface.coordinates], "lr": self.rate},
            {"params": [model.colors], "lr": self.color_rate, "uniform": False},
        ]
        return UniformAdam(groups, self.rate)

    def learning_rate(self, progress: Progress) -> float:
        return progress.falling(0.05)

    def losses(
        self,
        model: MeshModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        chosen = torch.randperm(len(data), generator=generator)[: self.views]
        chosen = chosen.to(data.images.device)
        image = model.draw(model.mesh(), data.cameras.select(chosen))
        truth, vertices = data.images[chosen], model.surface.vertices()
        topology = model.surface.topology
        square = (image[..., :3].detach() - truth[..., :3]).square().mean()
        return {
            "silhouette": self.silhouette * (image[..., 3] - truth[..., 3]).square().mean(),
            "color": (image[..., :3] - truth[..., :3]).abs().mean(),
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
        """Without light: the colours hold it. Differentiable in the cameras' poses."""
        mesh = self.shape(model)
        parts = [model.draw(mesh, part) for part in camera_batches(cameras, PIXELS_AT_ONCE)]
        color, opacity, distance = torch.cat(parts).split([3, 1, 1], dim=3)
        depth = distance / opacity.clamp_min(1e-6)
        return Rendering(color, opacity[..., 0], depth[..., 0])

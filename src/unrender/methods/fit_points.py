"""A cloud of points that spreads over a shape, by the chamfer distance.

Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single
Image" (2017), https://arxiv.org/abs/1612.00603, sec. 3.2: each point is drawn to the nearest of
the shape's, and each of the shape's draws the nearest to itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from unrender.data.shape_target import ShapeTarget
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import cloud_renderer
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.points import PointCloud
from unrender.training.method import Progress
from unrender.training.shape_fit import ShapeFit


class PointModel(nn.Module):
    """Points in the unit frame, and where that lies in the file's."""

    center: Tensor
    size: Tensor

    def __init__(self, count: int):
        super().__init__()
        self.points = nn.Parameter(torch.zeros(count, 3))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))


@dataclass(frozen=True)
class PointFit(ShapeFit[PointModel]):
    """Points that move until the chamfer distance is least."""

    points: int = 20_000
    """Of the cloud."""
    targets: int = 30_000
    """Points of the shape that a step draws."""
    rate: float = 5e-3
    """Learning rate, in sizes of the shape; it falls to a hundredth along half a cosine."""

    def build(self, data: ShapeTarget, generator: torch.Generator) -> PointModel:
        model = PointModel(self.points)
        # A ball: random directions, and radii that fill it evenly.
        directions = normalize(torch.randn(self.points, 3, generator=generator), dim=1)
        radii = 0.5 * torch.rand(self.points, 1, generator=generator) ** (1 / 3)
        with torch.no_grad():
            model.points.copy_(radii * directions)
        model.center.copy_(data.center)
        model.size.fill_(data.size)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> PointModel:
        model = PointModel(len(tensors["points"]))
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: PointModel) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.rate, betas=(0.9, 0.95), fused=True)

    def learning_rate(self, progress: Progress) -> float:
        return progress.falling(0.01)

    def losses(
        self,
        model: PointModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        targets, _ = data.sample(self.targets, generator)
        return {"chamfer": chamfer_distance(model.points[None], targets[None]).distance[0]}

    def shape(self, model: PointModel) -> PointCloud:
        return PointCloud(model.points.detach() * model.size + model.center)

    def render(self, model: PointModel, cameras: Cameras) -> Rendering:
        return cloud_renderer(self.shape(model))(cameras)

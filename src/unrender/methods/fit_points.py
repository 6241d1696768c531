"""A point cloud fitted to a shape by the chamfer distance.

Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single
Image", CVPR 2017, https://arxiv.org/abs/1612.00603, sec. 3.2: each point is attracted by the
nearest target point, and each target point attracts the nearest point.

Only the loss is the paper's: no network predicts the points, they are the parameters. The
preset `fit-points` has 20,000 of them, which begin uniformly in a ball, and 30,000 new points
of the shape a step. Squared distances are averaged, not summed, over the points of each cloud.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from unrender.data.shape_target import ShapeTarget
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import cloud_renderer
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.points import PointCloud
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.method import DataKind, Method, Progress


class PointModel(nn.Module):
    """Points in the unit frame, and the transform to the frame of the shape's file."""

    center: Tensor
    size: Tensor

    def __init__(self, count: int):
        super().__init__()
        self.points = nn.Parameter(torch.zeros(count, 3))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))


@dataclass(frozen=True)
class PointFit(Method[PointModel, ShapeTarget]):
    """Points that move to minimize the chamfer distance (2017)."""

    data: ClassVar[DataKind[Any, Any]] = SHAPE
    has_shape: ClassVar[bool] = True

    points: int = 20_000
    """Points of the cloud."""
    target_points: int = 30_000
    """Target points sampled per training step."""
    learning_rate: float = 5e-3
    """Learning rate, in sizes of the shape; it decays to a hundredth along half a cosine."""

    def build(self, data: ShapeTarget, generator: torch.Generator) -> PointModel:
        model = PointModel(self.points)
        # Uniform in a ball: random directions, and radii that fill it evenly.
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
        return torch.optim.Adam(
            model.parameters(), self.learning_rate, betas=(0.9, 0.95), fused=True
        )

    def schedule(self, progress: Progress) -> float:
        return progress.falling(0.01)

    def losses(
        self,
        model: PointModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        targets, _ = data.sample(self.target_points, generator)
        return {"chamfer": chamfer_distance(model.points[None], targets[None]).distance[0]}

    def shape(self, model: PointModel) -> PointCloud:
        return PointCloud(model.points.detach() * model.size + model.center)

    def render(self, model: PointModel, cameras: Cameras) -> Rendering:
        return cloud_renderer(self.shape(model))(cameras)

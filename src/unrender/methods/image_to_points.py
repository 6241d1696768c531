"""A point cloud from one image.

Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single
Image", CVPR 2017, https://arxiv.org/abs/1612.00603: fully connected layers decode an image's
code to the coordinates of all points at once, trained by the chamfer distance to points of the
true surface, which is invariant to their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.networks import LinearLayer
from unrender.flows.precision import autocast
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.training.image_to_shape import ImageToShape, ShapeModel
from unrender.training.method import Progress


class PointsModel(ShapeModel):
    """An encoder, and a decoder to the coordinates of all points."""

    def __init__(self, options: "ImageToPoints", size: int, generator: torch.Generator):
        super().__init__(size, options.encoder_width, generator)
        self.first = LinearLayer(self.code_size, options.width, generator)
        self.second = LinearLayer(options.width, options.width, generator)
        self.last = LinearLayer(options.width, 3 * options.points, generator)

    def points(self, code: Float[Tensor, "images code"]) -> Float[Tensor, "images points 3"]:
        hidden = self.second(self.first(code).relu()).relu()
        return self.last(hidden).unflatten(1, (-1, 3))


@dataclass(frozen=True)
class ImageToPoints(ImageToShape[PointsModel]):
    """A point cloud from one image, as the output of one layer (2017)."""

    points: int = 1024
    """Points of the predicted cloud."""
    width: int = 1024
    """Units per hidden layer."""
    target_points: int = 1024
    """Points of the true surface sampled per step."""

    def model(self, size: int, generator: torch.Generator) -> PointsModel:
        return PointsModel(self, size, generator)

    def build(self, data: ImageShapePairs, generator: torch.Generator) -> PointsModel:
        model = super().build(data, generator)
        # Predictions start as points of all training shapes, which the network then offsets.
        shape, number = (
            torch.randint(size, (self.points,), generator=generator)
            for size in data.points.shape[:2]
        )
        with torch.no_grad():
            model.last.weight.mul_(0.1)
            model.last.bias.copy_(data.points.cpu()[shape, number].float().flatten())
        return model

    def losses(
        self,
        model: PointsModel,
        data: ImageShapePairs,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = data.draw(self.batch, generator)
        model.train()
        with autocast(self.precision, data.images.device):
            points = model.points(model.encode(data.rgba(drawn)))
        truth, _ = data.surface(drawn, self.target_points, generator)
        return {
            "chamfer": chamfer_distance(points.float(), truth, squared=False).distance.mean()
        }

    def decode(self, model: PointsModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        return [PointCloud(points) for points in model.points(code)]

"""A point cloud from one image.

Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single
Image", CVPR 2017, https://arxiv.org/abs/1612.00603: fully connected layers decode an image's
code to the coordinates of all points at once, trained by the chamfer distance to points of the
true surface, which is invariant to their order (sec. 3.2).

The network is the paper's "vanilla" one, with a single fully connected branch. The preset
`image-to-points` has 1,024 points, squared distances, 32 images a step and Adam at a constant
3e-5, as in the paper and its code. Where it differs: there is no second, deconvolutional branch
for 768 of the points, no hourglass, and no random input, so that an image has one answer; the
encoder is ResNet-18 (`training/image_to_shape.py`) on square images, and the hidden layers have
1,024 units; both directions of the chamfer distance have the same weight, where the code halves
one, and are compared with 4,096 points, all that the data have of a surface, not 16,384; and
there is no weight decay.

`image-to-points-fast`, for two cores, is ours: distances are not squared, predictions begin as
points of the training shapes, and the rate is higher and decays.
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
        super().__init__(options, size, generator)
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
    squared: bool = False
    """Whether the chamfer distance averages squared distances, as in the paper."""
    begin_at_shapes: bool = True
    """Whether predictions begin as points of the training shapes, which the network offsets;
    otherwise where the random weights put them."""

    def model(self, size: int, generator: torch.Generator) -> PointsModel:
        return PointsModel(self, size, generator)

    def build(self, data: ImageShapePairs, generator: torch.Generator) -> PointsModel:
        model = super().build(data, generator)
        if not self.begin_at_shapes:
            return model
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
        near = chamfer_distance(points.float(), truth, squared=self.squared)
        return {"chamfer": near.distance.mean()}

    def decode(self, model: PointsModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        return [PointCloud(points) for points in model.points(code)]

"""An occupancy function from one image.

Mescheder, Oechsle, Niemeyer, Nowozin, Geiger, "Occupancy Networks: Learning 3D Reconstruction
in Function Space", CVPR 2019, https://arxiv.org/abs/1812.03828: residual blocks map a point in
space to an occupancy logit, with batch normalization conditioned on the image's code. Training
minimizes the binary cross entropy at random points (eq. 3); marching cubes extracts the
surface.

The preset `image-to-occupancy` has the sizes of the paper and its code: ResNet-18 averaged over
the image to a code of 256 numbers, five blocks of width 256, 2,048 points of each of 64 shapes
a step, Adam at a constant 1e-4, and a surface at a probability of 0.2. Where it differs: the
encoder begins with random weights unless `--weights` names ImageNet's; points are those of the
data, half of them near the surface in files of `unrender make-shapes`, where the paper draws
all uniformly; the cross entropy is a mean over points, not a sum; the decoder's points are
divided by half the side of their cube; all of a 128³ grid is evaluated, where the paper refines
an octree to as many cells, and meshes are neither simplified nor refined by gradients.

`image-to-occupancy-fast`, for two cores, is ours: half the encoder's width, averages over four
parts of the image, blocks of width 128, 512 points of 32 shapes, and a surface at 0.5.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.networks import LinearLayer
from unrender.flows.precision import autocast
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid
from unrender.training.image_to_shape import ImageToShape, ShapeModel
from unrender.training.method import Progress

HALF = 0.55
"""Half the side of the cube in which the function is evaluated."""
PLACES_AT_ONCE = 1 << 16


class ConditionalNorm(nn.Module):
    """Batch normalization with scale and shift affine in a code (supplement)."""

    def __init__(self, code_size: int, width: int, generator: torch.Generator):
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.scale = LinearLayer(code_size, width, generator)
        self.shift = LinearLayer(code_size, width, generator)
        # Initialized as plain normalization.
        for layer, start in ((self.scale, 1.0), (self.shift, 0.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, start)

    def forward(
        self, x: Float[Tensor, "images places width"], code: Float[Tensor, "images code"]
    ) -> Float[Tensor, "images places width"]:
        normal = self.norm(x.flatten(0, 1)).view_as(x)
        return self.scale(code)[:, None] * normal + self.shift(code)[:, None]


class ResidualBlock(nn.Module):
    """x + W₂ relu(norm(W₁ relu(norm(x))))."""

    def __init__(self, code_size: int, width: int, generator: torch.Generator):
        super().__init__()
        self.norms = nn.ModuleList(
            ConditionalNorm(code_size, width, generator) for _ in range(2)
        )
        first, second = (LinearLayer(width, width, generator) for _ in range(2))
        nn.init.zeros_(second.weight)
        self.layers = nn.ModuleList([first, second])

    def forward(
        self, x: Float[Tensor, "images places width"], code: Float[Tensor, "images code"]
    ) -> Float[Tensor, "images places width"]:
        inner = x
        for norm, layer in zip(self.norms, self.layers, strict=True):
            inner = layer(norm(inner, code).relu())
        return x + inner


class OccupancyModel(ShapeModel):
    """An encoder, and a network from a point and a code to a logit."""

    def __init__(self, options: "ImageToOccupancy", size: int, generator: torch.Generator):
        super().__init__(options, size, generator)
        self.code = LinearLayer(self.code_size, options.code, generator)
        self.first = LinearLayer(3, options.width, generator)
        self.blocks = nn.ModuleList(
            ResidualBlock(options.code, options.width, generator) for _ in range(options.blocks)
        )
        self.norm = ConditionalNorm(options.code, options.width, generator)
        self.last = LinearLayer(options.width, 1, generator)

    def logits(
        self,
        places: Float[Tensor, "images places 3"],
        code: Float[Tensor, "images code"],
    ) -> Float[Tensor, "images places"]:
        """Logits of the points being inside."""
        code = self.code(code)
        x = self.first(places / HALF)
        for block in self.blocks:
            x = block(x, code)
        return self.last(self.norm(x, code).relu())[..., 0]


@dataclass(frozen=True)
class ImageToOccupancy(ImageToShape[OccupancyModel]):
    """An occupancy function from one image, and its surface (2019)."""

    code: int = 256
    """Size of the image's code."""
    width: int = 128
    """Units per hidden layer."""
    blocks: int = 5
    """Residual blocks."""
    query_points: int = 512
    """Query points per shape and training step."""
    cells: int = 48
    """Cells per side of the grid for extracting the surface."""
    threshold: float = 0.5
    """Probability of being inside at which the surface is extracted."""

    def model(self, size: int, generator: torch.Generator) -> OccupancyModel:
        return OccupancyModel(self, size, generator)

    def losses(
        self,
        model: OccupancyModel,
        data: ImageShapePairs,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = data.draw(self.batch, generator)
        places, inside = data.occupancy(drawn, self.query_points, generator)
        model.train()
        with autocast(self.precision, data.images.device):
            logits = model.logits(places, model.encode(data.rgba(drawn)))
        return {"entropy": binary_cross_entropy_with_logits(logits.float(), inside)}

    def decode(self, model: OccupancyModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        empty = VoxelGrid.cube(code.new_zeros((self.cells,) * 3), HALF)
        places = empty.centers().flatten(0, 2)
        level = math.log(self.threshold / (1 - self.threshold))
        found: list[Shape] = []
        for one in code.split(1):
            with autocast(self.precision, code.device):
                parts = [
                    model.logits(part[None], one)[0] for part in places.split(PLACES_AT_ONCE)
                ]
            grid = empty.with_values(torch.cat(parts).float().view_as(empty.values))
            found.append(mesh_from_voxels(grid, level))
        return found

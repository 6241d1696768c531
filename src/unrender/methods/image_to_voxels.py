"""A voxel grid from one image.

Xie et al., "Pix2Vox: Context-aware 3D Reconstruction from Single and Multi-view Images", ICCV
2019, https://arxiv.org/abs/1901.11153: 3D transposed convolutions upsample a small feature grid
to 32³ cells, trained by the binary cross entropy of each cell, which is computed from logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.networks import LinearLayer
from unrender.flows.precision import autocast
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid
from unrender.training.image_to_shape import ImageToShape, ShapeModel
from unrender.training.method import Progress

FIRST = 4
"""Cells per side of the initial feature grid; each of three convolutions doubles it."""


class VoxelsModel(ShapeModel):
    """An encoder, and a convolutional decoder to the logits of all cells."""

    def __init__(self, options: "ImageToVoxels", size: int, generator: torch.Generator):
        super().__init__(size, options.encoder_width, generator)
        channels = (options.channels, options.channels // 2, options.channels // 4, 1)
        self.first = LinearLayer(self.code_size, channels[0] * FIRST**3, generator)
        self.norms = nn.ModuleList(nn.BatchNorm3d(number) for number in channels[:-1])
        # Layers before a batch normalization need no bias.
        doublings = [
            nn.ConvTranspose3d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(channels)
        ]
        for layer in doublings:
            # Each cell of an upsampled grid receives 2³ of the 4³ weights.
            deviation = (2 / (8 * layer.in_channels)) ** 0.5
            nn.init.normal_(layer.weight, 0, deviation, generator=generator)
        self.doublings = nn.ModuleList(doublings)
        # Most cells are empty.
        self.bias = nn.Parameter(torch.tensor(-2.0))

    def logits(self, code: Float[Tensor, "images code"]) -> Float[Tensor, "images x y z"]:
        """Logits of the occupancy of each cell."""
        grid = self.first(code).unflatten(1, (-1, FIRST, FIRST, FIRST))
        for norm, double in zip(self.norms, self.doublings, strict=True):
            grid = double(norm(grid).relu())
        return grid[:, 0] + self.bias


@dataclass(frozen=True)
class ImageToVoxels(ImageToShape[VoxelsModel]):
    """A 32³ voxel grid from one image, by convolutions (2019)."""

    channels: int = 128
    """Channels of the initial grid; each upsampling halves them."""
    occupied_weight: float = 1.5
    """Weight of an occupied cell in the loss, relative to an empty one."""

    def model(self, size: int, generator: torch.Generator) -> VoxelsModel:
        return VoxelsModel(self, size, generator)

    def losses(
        self,
        model: VoxelsModel,
        data: ImageShapePairs,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = data.draw(self.batch, generator)
        model.train()
        with autocast(self.precision, data.images.device):
            logits = model.logits(model.encode(data.rgba(drawn)))
        return {"entropy": self.entropy(logits.float(), data.voxel_grids(drawn))}

    def entropy(
        self,
        logits: Float[Tensor, "images x y z"],
        filled: Float[Tensor, "images x y z"],
    ) -> Float[Tensor, ""]:
        """Binary cross entropy, in nats per cell."""
        weight = torch.tensor(self.occupied_weight, device=logits.device)
        return binary_cross_entropy_with_logits(logits, filled, pos_weight=weight)

    def decode(self, model: VoxelsModel, code: Float[Tensor, "images code"]) -> list[Shape]:
        return [VoxelGrid.cube(grid, 0.5) for grid in model.logits(code).sigmoid()]

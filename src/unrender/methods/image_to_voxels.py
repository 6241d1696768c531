"""A voxel grid from one image.

Xie, Yao, Sun, Zhou, Zhang, "Pix2Vox: Context-aware 3D Reconstruction from Single and Multi-view
Images", ICCV 2019, https://arxiv.org/abs/1901.11153: 3D transposed convolutions upsample a
small grid of features to 32³ cells, trained by the binary cross entropy of each cell, which is
computed from logits.

The preset `image-to-voxels` has the decoder of Pix2Vox-F: 2³ cells of 256 channels, four
transposed convolutions to 128, 64, 32 and 8 channels, each with batch normalization and ReLU,
and a pointwise one to the logits. From a single image there is nothing to fuse, and Pix2Vox-F
has no refiner. 64 images a step, Adam at 1e-3 with β₂ = 0.999 and an unweighted cross entropy
are the paper's, too. Where it differs: the encoder is ResNet-18, of which all weights are
trained (`training/image_to_shape.py`), and a linear layer makes the first grid, where the paper
has the first layers of a fixed VGG16 and three convolutions; the rate is constant, not halved
after 150 of 250 epochs; the last layer has a bias, which begins at −2, since most cells are
empty; a cell counts as occupied from a probability of 0.5, not 0.3; and images keep their
colors, without the paper's random backgrounds and changes of color.

`image-to-voxels-fast`, for two cores, is ours: 4³ cells of 128 channels and three transposed
convolutions, and occupied cells with a weight of 1.5.
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

CELLS = 32
"""Cells per side of the predicted grid."""


class VoxelsModel(ShapeModel):
    """An encoder, and a convolutional decoder to the logits of all cells."""

    def __init__(self, options: "ImageToVoxels", size: int, generator: torch.Generator):
        super().__init__(options, size, generator)
        channels = options.decoder_channels()
        # Cells per side of the first grid, which all layers but a pointwise one double.
        self.side = CELLS >> (len(channels) - 1 - options.pointwise)
        self.first = LinearLayer(self.code_size, channels[0] * self.side**3, generator)
        self.norms = nn.ModuleList(nn.BatchNorm3d(number) for number in channels[:-1])
        # Layers before a batch normalization need no bias.
        layers = [nn.ConvTranspose3d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(channels)]
        if options.pointwise:
            layers[-1] = nn.ConvTranspose3d(channels[-2], 1, 1, bias=False)
        for layer in layers:
            # Each cell of an upsampled grid receives 2³ of the 4³ weights.
            weights = 8 if layer.stride == (2, 2, 2) else 1
            deviation = (2 / (weights * layer.in_channels)) ** 0.5
            nn.init.normal_(layer.weight, 0, deviation, generator=generator)
        self.doublings = nn.ModuleList(layers)
        # Most cells are empty.
        self.bias = nn.Parameter(torch.tensor(-2.0))

    def logits(self, code: Float[Tensor, "images code"]) -> Float[Tensor, "images x y z"]:
        """Logits of the occupancy of each cell."""
        grid = self.first(code).unflatten(1, (-1, self.side, self.side, self.side))
        for norm, double in zip(self.norms, self.doublings, strict=True):
            grid = double(norm(grid).relu())
        return grid[:, 0] + self.bias


@dataclass(frozen=True)
class ImageToVoxels(ImageToShape[VoxelsModel]):
    """A 32³ voxel grid from one image, by convolutions (2019)."""

    channels: int = 128
    """Channels of the grid of 4³ cells; each upsampling halves them."""
    pointwise: bool = False
    """Whether the decoder is that of the paper: it begins with twice the channels and 2³ cells,
    the last upsampling leaves a quarter of the channels of the one before it, and a pointwise
    convolution makes the logits. Otherwise the last upsampling makes them."""
    occupied_weight: float = 1.5
    """Weight of an occupied cell in the loss, relative to an empty one."""

    def decoder_channels(self) -> list[int]:
        """Channels of the grids of the decoder, from the first to the logits."""
        halved = [self.channels, self.channels // 2, self.channels // 4]
        if self.pointwise:
            return [2 * self.channels, *halved, self.channels // 16, 1]
        return [*halved, 1]

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

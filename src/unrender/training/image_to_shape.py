"""What the methods share that read a shape from one image: encoder, optimiser, schedule.

The shape comes out in the frame of its family (z up, the front at +y), not the camera's, as
Pix2Vox and most others on ShapeNet have it: the network also has to see from which side the
photograph was taken.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from unrender.data.image_shape.framing import framed
from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.resnet import ResNet18
from unrender.flows.precision import multiplies_bfloat16
from unrender.imaging.color import over
from unrender.optimizers.muon import Muon
from unrender.rendering.renderer import Images
from unrender.shapes.shape import Shape
from unrender.training.data_kinds.image_shape_pairs import IMAGE_SHAPE_PAIRS
from unrender.training.method import DataKind, Method, Progress, halve

REGIONS = 2
"""Rows and columns of regions over which features are averaged: one for each half of the
image, since where a part is seen says where it is."""
IMAGES_AT_ONCE = 32


class ShapeModel(nn.Module):
    """An encoder; methods add what makes a shape of its code."""

    size: Tensor

    def __init__(self, size: int, encoder_width: int, generator: torch.Generator):
        """`size`: pixels a side of the images."""
        super().__init__()
        self.register_buffer("size", torch.tensor(size))
        self.encoder = ResNet18(generator, encoder_width, classes=None)
        self.code_size = REGIONS**2 * self.encoder.channels

    def encode(self, images: Images) -> Float[Tensor, "images {self.code_size}"]:
        """Codes of images, laid over white."""
        white = torch.ones(3, device=images.device)
        features = self.encoder.features(over(images, white).permute(0, 3, 1, 2))
        return adaptive_avg_pool2d(features, REGIONS).flatten(1)


Model = TypeVar("Model", bound=ShapeModel)


@dataclass(frozen=True)
class ImageToShape(Method[Model, ImageShapePairs]):
    """Trains an encoder of images and a decoder of shapes."""

    data: ClassVar[DataKind[Any, Any]] = IMAGE_SHAPE_PAIRS
    makes_images: ClassVar[bool] = False
    predicts_shapes: ClassVar[bool] = True

    encoder_width: int = 64
    """Channels of ResNet-18's first layers; published weights have 64."""
    weights: str = ""
    """A .safetensors file of published weights of ResNet-18 to begin with; by default they are
    random."""
    batch: int = 32
    """Images of a training step."""
    learning_rate: float = 1e-3
    """Learning rate after the warm-up; it falls to nearly 0 along a cosine."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.02
    """Decay of the weights, as a share of the learning rate."""
    max_norm: float = 1.0
    """Gradients longer than this are shortened to it."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Of the products in training; auto takes bfloat16 where the processor multiplies it."""

    @abstractmethod
    def model(self, size: int, generator: torch.Generator) -> Model:
        """For images of `size` pixels a side."""

    @abstractmethod
    def decode(self, model: Model, code: Float[Tensor, "images code"]) -> list[Shape]:
        """The shape of each code."""

    def build(self, data: ImageShapePairs, generator: torch.Generator) -> Model:
        model = self.model(data.size, generator)
        if self.weights:
            model.encoder.load_weights(Path(self.weights))
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> Model:
        model = self.model(int(tensors["size"]), torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: Model) -> torch.optim.Optimizer:
        parameters = list(model.parameters())
        decay, longest = self.weight_decay, self.max_norm
        return Muon([], parameters, self.learning_rate, decay, longest, torch.float32)

    def schedule(self, progress: Progress) -> float:
        rise = min(1.0, (progress.step + 1) / self.warm_up)
        return rise * progress.falling(0.01)

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context in which training's products are made."""
        short = self.precision == "bfloat16"
        if self.precision == "auto":
            short = multiplies_bfloat16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=short)

    def smaller(self) -> "Method[Model, ImageShapePairs] | None":
        return halve(self, "batch")

    @torch.no_grad()
    def predict(self, model: Model, images: Images) -> list[Shape]:
        model.eval()
        found: list[Shape] = []
        for part in images.split(IMAGES_AT_ONCE):
            found += self.decode(model, model.encode(framed(part, int(model.size))))
        return found

"""Base of methods that predict a shape from one image: encoder, optimizer, schedule.

The shape is predicted in the canonical frame of its category (z up, the front at +y), not in
the camera's, as Pix2Vox and most others on ShapeNet do: the network also has to infer the
viewpoint.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from unrender.data.image_shape.framing import framed
from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.fields.resnet import ResNet18
from unrender.flows.precision import Precision
from unrender.imaging.color import over
from unrender.optimizers.muon import Muon
from unrender.rendering.renderer import Images
from unrender.shapes.shape import Shape
from unrender.training.data_kinds.image_shape_pairs import IMAGE_SHAPE_PAIRS
from unrender.training.method import DataKind, Method, Progress, halve

REGIONS = 2
"""Rows and columns of regions over which features are averaged, since the position of a part in
the image tells its position in space."""
IMAGES_AT_ONCE = 32


class ShapeModel(nn.Module):
    """An image encoder; methods add the decoder of its code."""

    size: Tensor

    def __init__(self, size: int, encoder_width: int, generator: torch.Generator):
        """`size`: pixels per side of the images."""
        super().__init__()
        self.register_buffer("size", torch.tensor(size))
        self.encoder = ResNet18(generator, encoder_width, classes=None)
        self.code_size = REGIONS**2 * self.encoder.channels

    def encode(self, images: Images) -> Float[Tensor, "images {self.code_size}"]:
        """Codes of images composited over white."""
        white = torch.ones(3, device=images.device)
        features = self.encoder.features(over(images, white).permute(0, 3, 1, 2))
        return adaptive_avg_pool2d(features, REGIONS).flatten(1)


Model = TypeVar("Model", bound=ShapeModel)


@dataclass(frozen=True)
class ImageToShape(Method[Model, ImageShapePairs]):
    """Options and optimization shared by networks from one image to a shape."""

    data: ClassVar[DataKind[Any, Any]] = IMAGE_SHAPE_PAIRS
    makes_images: ClassVar[bool] = False
    predicts_shapes: ClassVar[bool] = True

    encoder_width: int = 64
    """Channels of ResNet-18's first layers; published weights have 64."""
    weights: str = ""
    """A .safetensors file of pretrained ResNet-18 weights; by default they are random."""
    batch: int = 32
    """Images per training step."""
    learning_rate: float = 1e-3
    """Learning rate after the warm-up; it decays to nearly 0 along a cosine."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.02
    """Weight decay of AdamW."""
    max_norm: float = 1.0
    """Maximum gradient norm."""
    precision: Precision = "auto"
    """Precision of matrix products in training; auto takes bfloat16 where hardware supports
    it."""

    @abstractmethod
    def model(self, size: int, generator: torch.Generator) -> Model:
        """The untrained model for images of `size` pixels per side."""

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
        return progress.rising(self.warm_up) * progress.falling(0.01)

    def smaller(self) -> "Method[Model, ImageShapePairs] | None":
        return halve(self, "batch")

    @torch.no_grad()
    def predict(self, model: Model, images: Images) -> list[Shape]:
        model.eval()
        found: list[Shape] = []
        for part in images.split(IMAGES_AT_ONCE):
            found += self.decode(model, model.encode(framed(part, int(model.size))))
        return found

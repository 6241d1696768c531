"""Base of methods that predict a shape from one image: encoder, optimizer, schedule.

All methods have one encoder, ResNet-18 (`fields/resnet.py`), whose features of the last stage
are averaged over `regions`² parts of the image; of the papers, only Occupancy Networks has it.

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

IMAGES_AT_ONCE = 32


class ShapeModel(nn.Module):
    """An image encoder; methods add the decoder of its code."""

    size: Tensor

    def __init__(self, options: "ImageToShape[Any]", size: int, generator: torch.Generator):
        """`size`: pixels per side of the images."""
        super().__init__()
        self.register_buffer("size", torch.tensor(size))
        self.encoder = ResNet18(generator, options.encoder_width, classes=None)
        self.regions = options.regions
        self.code_size = self.regions**2 * self.encoder.channels

    def encode(self, images: Images) -> Float[Tensor, "images {self.code_size}"]:
        """Codes of images composited over white."""
        white = torch.ones(3, device=images.device)
        features = self.encoder.features(over(images, white).permute(0, 3, 1, 2))
        return adaptive_avg_pool2d(features, self.regions).flatten(1)


Model = TypeVar("Model", bound=ShapeModel)


@dataclass(frozen=True)
class ImageToShape(Method[Model, ImageShapePairs]):
    """Options and optimization shared by networks from one image to a shape."""

    data: ClassVar[DataKind[Any, Any]] = IMAGE_SHAPE_PAIRS
    makes_images: ClassVar[bool] = False
    predicts_shapes: ClassVar[bool] = True

    encoder_width: int = 64
    """Channels of ResNet-18's first layers; published weights have 64."""
    regions: int = 2
    """Rows and columns of regions over which features are averaged: the position of a part in
    the image tells its position in space. 1 averages over the whole image."""
    weights: str = ""
    """A .safetensors file of pretrained ResNet-18 weights; by default they are random."""
    batch: int = 32
    """Images per training step."""
    learning_rate: float = 1e-3
    """Learning rate after the warm-up; it decays along a cosine."""
    learning_rate_decay: float = 0.01
    """Final learning rate, as a fraction of the initial one; 1 keeps it constant."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.02
    """Weight decay of AdamW."""
    beta2: float = 0.99
    """Adam's decay rate of the second moment."""
    max_norm: float = 1.0
    """Maximum gradient norm; 0 disables clipping."""
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
        # Without matrices, Muon is AdamW with clipped gradients.
        rate, decay, longest = self.learning_rate, self.weight_decay, self.max_norm
        parameters = list(model.parameters())
        return Muon([], parameters, rate, decay, longest, torch.float32, self.beta2)

    def schedule(self, progress: Progress) -> float:
        return progress.rising(self.warm_up) * progress.falling(self.learning_rate_decay)

    def smaller(self) -> "Method[Model, ImageShapePairs] | None":
        return halve(self, "batch")

    @torch.no_grad()
    def predict(self, model: Model, images: Images) -> list[Shape]:
        model.eval()
        found: list[Shape] = []
        for part in images.split(IMAGES_AT_ONCE):
            found += self.decode(model, model.encode(framed(part, int(model.size))))
        return found

"""Base of methods that train a SiT on posed images: sizes, optimizer, schedule, averaging."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.averaged import AveragedSiT, split_views
from unrender.flows.checks import check_views
from unrender.flows.data_space import DataSpace, Pixels
from unrender.flows.transformer import TransformerSize
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.muon_training import MuonTraining

TransformerModel = TypeVar("TransformerModel", bound=AveragedSiT)

ADDED_BUFFERS = {"center", "source_mean", "source_scale"}
"""Buffers that runs of earlier versions do not have."""


@dataclass(frozen=True)
class TransformerMethod(MuonTraining[TransformerModel, Views]):
    """Options and optimization of a SiT trained on square RGBA images of one field of view."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    any_size: ClassVar[bool] = False

    patch: int = 8
    """Pixels (or latents) per side of a patch. The time of a step is proportional to the number
    of patches: use 16 for images of 64 pixels, and 32 for images of 128."""
    width: int = 256
    """Width of a token."""
    depth: int = 4
    """Transformer blocks."""
    heads: int = 4
    """Attention heads."""
    qk_norm: bool = False
    """Whether attention normalizes queries and keys."""
    batch: int = 32
    """Images per training step."""

    def space(self) -> DataSpace:
        """The space in which the flow works: pixels, or latents."""
        return Pixels()

    @abstractmethod
    def model(
        self,
        size: int,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ) -> TransformerModel:
        """The untrained model for images of `size` cells; `views`: numbers of training and
        held-out views.
        """

    def transformer_size(
        self, size: int, channels: int, condition: int = 0, outputs: int = 0
    ) -> TransformerSize:
        """The sizes of the transformer for images of this size."""
        sizes = (self.patch, self.width, self.depth, self.heads, 4 * self.width)
        return TransformerSize(size, channels, *sizes, condition, outputs, self.qk_norm)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width % 4:
            raise InputError(
                f"width {self.width}: give a multiple of 4 and of the {self.heads} heads"
            )

    def build(self, data: Views, generator: torch.Generator) -> TransformerModel:
        space = self.space()
        size = check_views(data, self.patch, space.scale) // space.scale
        training, held_out = split_views(len(data), generator)
        model = self.model(size, space, (len(training), len(held_out)), generator)
        model.learn_cameras(data.cameras, training, held_out)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> TransformerModel:
        size = math.isqrt(tensors["network.pos_embed"].shape[1]) * self.patch
        views = (len(tensors["training_views"]), len(tensors["held_out_views"]))
        model = self.model(size, self.space(), views, torch.Generator())
        # Runs of earlier versions were about the origin.
        later = {
            name: model.state_dict()[name] for name in ADDED_BUFFERS & {*model.state_dict()}
        }
        model.load_state_dict({**later, **tensors})
        return model

    def prepare(self, model: TransformerModel, data: Views) -> Views:
        """The views with cameras about the model's center."""
        return dataclasses.replace(data, cameras=model.centered(data.cameras))

    def optimizer(self, model: TransformerModel) -> torch.optim.Optimizer:
        device = model.radius.device
        return self.muon_of(model.network, model.network.matrices(), device)

    def draw(
        self, model: TransformerModel, data: Views, generator: torch.Generator
    ) -> Int[Tensor, "{self.batch}"]:
        """Sample the views of the next batch from the training views, with replacement."""
        drawn = torch.randint(len(model.training_views), (self.batch,), generator=generator)
        return model.training_views[drawn.to(data.device)]

    def after_step(
        self, model: TransformerModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        model.follow(self.kept(progress))

    def image_size(self, model: TransformerModel) -> int:
        return model.image_size

    def smaller(self) -> "Method[TransformerModel, Views] | None":
        return halve(self, "batch")

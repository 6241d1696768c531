"""What methods share that train a SiT on posed images: sizes, optimiser, schedule, average."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.data.views import Views
from unrender.flows.averaged import AveragedSiT, split_views
from unrender.flows.checks import check_views
from unrender.flows.data_space import DataSpace, Pixels
from unrender.flows.precision import multiplies_bfloat16
from unrender.flows.transformer import TransformerSize
from unrender.optimizers.muon import Muon
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve

TransformerModel = TypeVar("TransformerModel", bound=AveragedSiT)


@dataclass(frozen=True)
class TransformerMethod(Method[TransformerModel, Views]):
    """Trains a SiT on square RGBA images of one field of view, in one way for all its kinds."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    any_size: ClassVar[bool] = False

    patch: int = 8
    """Pixels a side of the transformer's patches, or latents. The time of a step goes with the
    number of patches: for images of 64 take 16, and for those of 128 take 32."""
    width: int = 256
    """Numbers of a token."""
    depth: int = 4
    """Blocks of the transformer."""
    heads: int = 4
    """Heads of its attention."""
    qk_norm: bool = False
    """Whether attention normalises queries and keys."""
    batch: int = 32
    """Images of a training step."""
    learning_rate: float = 4e-3
    """Learning rate after the warm-up; it falls to nearly 0 along a cosine."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """Decay of the weights, as a share of the learning rate."""
    muon: bool = True
    """Whether Muon updates the blocks' matrices; AdamW updates the rest, or all."""
    max_norm: float = 1.0
    """Gradients longer than this are shortened to it, those of Muon apart."""
    average_decay: float = 0.998
    """Share of the averaged weights that each step keeps; these are used after training."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Of the products in training; auto takes bfloat16 where the processor multiplies it."""

    def space(self) -> DataSpace:
        """What the images are made of."""
        return Pixels()

    @abstractmethod
    def model(
        self,
        size: int,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ) -> TransformerModel:
        """For images of `size` cells; `views`: how many to train on, and how many held out."""

    def transformer_size(
        self, size: int, channels: int, condition: int = 0, outputs: int = 0
    ) -> TransformerSize:
        """The sizes of the transformer for images of this size."""
        sizes = (self.patch, self.width, self.depth, self.heads, 4 * self.width)
        return TransformerSize(size, channels, *sizes, condition, outputs, self.qk_norm)

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
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: TransformerModel) -> torch.optim.Optimizer:
        matrices = model.network.matrices() if self.muon else []
        chosen = {id(matrix) for matrix in matrices}
        others = [
            parameter for parameter in model.network.parameters() if id(parameter) not in chosen
        ]
        short = multiplies_bfloat16(model.radius.device)
        dtype = torch.bfloat16 if short else torch.float32
        return Muon(
            matrices, others, self.learning_rate, self.weight_decay, self.max_norm, dtype
        )

    def schedule(self, progress: Progress) -> float:
        rise = min(1.0, (progress.step + 1) / self.warm_up)
        return rise * progress.falling(0.02)

    def draw(
        self, model: TransformerModel, data: Views, generator: torch.Generator
    ) -> Int[Tensor, "{self.batch}"]:
        """Which views make the next batch: training views, with replacement."""
        drawn = torch.randint(len(model.training_views), (self.batch,), generator=generator)
        return model.training_views[drawn.to(data.images.device)]

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context in which training's products are made."""
        short = self.precision == "bfloat16"
        if self.precision == "auto":
            short = multiplies_bfloat16(device)
        return torch.autocast(device.type, torch.bfloat16, enabled=short)

    def after_step(
        self, model: TransformerModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        model.follow(self.kept(progress))

    def kept(self, progress: Progress) -> float:
        """Share of the averaged weights that this step keeps: less at first, to forget them."""
        return min(self.average_decay, (1 + progress.step) / (10 + progress.step))

    def image_size(self, model: TransformerModel) -> int:
        return model.image_size

    def smaller(self) -> "Method[TransformerModel, Views] | None":
        return halve(self, "batch")

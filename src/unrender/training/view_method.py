"""Base of methods that make novel views: network, cameras, optimizer, batches, averaging."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from unrender.data.capture import is_cut_out
from unrender.data.squares import squares
from unrender.data.view_sets.view_sets import ViewSets, on_random_backgrounds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.data_space import OverWhite
from unrender.flows.view_transformer import (
    CameraConditions,
    ViewGeometry,
    ViewTransformer,
    ViewTransformerSize,
)
from unrender.geometry.bounds import scene_center
from unrender.geometry.cameras import Cameras
from unrender.training.data_kinds.view_sets import VIEW_SETS
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.muon_training import MuonTraining
from unrender.training.run_folder import RunFolder

ALONE = 0.5
"""Share of the steps in which sets have a single input."""

SPACE = OverWhite()


class ViewModel(nn.Module):
    """The network, and the moving average of its weights, which makes the images."""

    image_size: Tensor

    def __init__(self, size: ViewTransformerSize, generator: torch.Generator):
        super().__init__()
        self.network = ViewTransformer(size, generator)
        self.average = ViewTransformer(size, torch.Generator())
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        self.register_buffer("image_size", torch.tensor(size.image_size))

    def follow(self, share: float) -> None:
        """Update the moving average of the weights, with `share` as its decay."""
        average: list[Tensor] = list(self.average.parameters())
        network: list[Tensor] = list(self.network.parameters())
        get_ema_multi_avg_fn(share)(average, network, 0)


class Drawn(NamedTuple):
    """A batch of sets: inputs, and the targets that are to be made of them."""

    inputs: Float[Tensor, "sets inputs 4 height width"]
    targets: Float[Tensor, "sets targets 4 height width"]
    geometry: ViewGeometry


class Encoded(NamedTuple):
    """Inputs of one scene, encoded once, and the cameras of its targets."""

    seen: Float[Tensor, "1 inputs tokens channels"]
    unknown: Float[Tensor, "1 inputs tokens channels"]
    """The tokens of inputs that are not given, for classifier-free guidance."""
    geometry: ViewGeometry


Model = TypeVar("Model", bound=ViewModel)


@dataclass(frozen=True)
class ViewMethod(MuonTraining[Model, ViewSets]):
    """Options and optimization of a transformer from posed images to others."""

    data: ClassVar[DataKind[Any, Any]] = VIEW_SETS
    makes_images: ClassVar[bool] = False
    any_size: ClassVar[bool] = False
    generates_views: ClassVar[bool] = True

    patch: int = 8
    """Pixels per side of a patch. The time of a step is proportional to the number of patches:
    use 16 for images of 64 pixels."""
    width: int = 160
    """Width of a token; a multiple of 8 times the heads."""
    heads: int = 5
    """Attention heads."""
    encoder_depth: int = 3
    """Transformer blocks of the input images."""
    depth: int = 4
    """Transformer blocks of the targets, with attention to the inputs."""
    cameras: CameraConditions = "rays-prope"
    """How cameras are told to the network: Plücker coordinates of every ray, PRoPE's relative
    encoding in attention, or both; or numbers of the whole camera, ZeroNVS's 6DoF+1 or
    zero123's 3DoF, for upright cameras that look at the center."""
    inputs: int = 4
    """Maximum number of input images of a set; half of the steps have one."""
    targets: int = 4
    """Target images of a set."""
    batch: int = 32
    """Sets per training step."""
    opaque_share: float = 0.1
    """Fraction of the sets that are put in front of a random color, without alpha."""
    warm_up: int = 200
    """Steps over which the learning rate rises."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (8 * self.heads):
            raise InputError(
                f"width {self.width}: give a multiple of {8 * self.heads}, 8 for each head"
            )

    def size(self, image_size: int, noisy: bool = False) -> ViewTransformerSize:
        """The sizes of the network for images of this size. InputError."""
        if image_size % self.patch:
            raise InputError(
                f"patch {self.patch}: does not divide the images' {image_size} pixels"
            )
        return ViewTransformerSize(
            image_size, self.patch, self.width, self.heads, self.encoder_depth, self.depth,
            self.cameras, noisy,
        )  # fmt: skip

    @abstractmethod
    def model(self, image_size: int, generator: torch.Generator) -> Model:
        """The untrained model for images of `image_size` pixels per side."""

    def build(self, data: ViewSets, generator: torch.Generator) -> Model:
        if data.views < 2:
            raise InputError("a set of views needs an input and a target: give more views")
        return self.model(data.size, generator)

    def restore(self, tensors: Mapping[str, Tensor]) -> Model:
        model = self.model(int(tensors["image_size"]), torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: Model) -> torch.optim.Optimizer:
        device = model.image_size.device
        return self.muon_of(model.network, model.network.matrices(), device)

    def draw(
        self, model: Model, data: ViewSets, progress: Progress, generator: torch.Generator
    ) -> Drawn:
        """A batch for a step; all its sets have equally many inputs."""
        most = max(1, min(self.inputs, data.views - 1))
        alone, number = torch.rand(2, generator=generator).tolist()
        inputs = 1 if alone < ALONE else 1 + int(number * most)
        targets = min(self.targets, data.views - inputs)
        batch = data.draw(self.batch, inputs + targets, progress.step, generator)
        batch = on_random_backgrounds(batch, self.opaque_share, generator)
        device = model.image_size.device
        codes = SPACE.encode(batch.images.flatten(0, 1).to(device)).unflatten(
            0, (self.batch, -1)
        )
        cameras = batch.cameras(0, inputs).to(device), batch.cameras(inputs).to(device)
        geometry = model.network.geometry(*cameras, self.batch)
        return Drawn(codes[:, :inputs], codes[:, inputs:], geometry)

    def after_step(
        self, model: Model, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        model.follow(self.kept(progress))

    def image_size(self, model: Model) -> int:
        return int(model.image_size)

    def smaller(self) -> "Method[Model, ViewSets] | None":
        return halve(self, "batch")

    @torch.no_grad()
    def encoded(self, model: Model, inputs: Views, targets: Cameras) -> Encoded:
        """Inputs and targets in the frame of the network. InputError for unusable cameras."""
        if not len(inputs):
            raise InputError("novel views need an input image: give at least one")
        size = self.image_size(model)
        cut = squares(inputs, size)
        images = cut.rgba if is_cut_out(inputs) else cut.opaque
        center = scene_center(inputs.cameras) if inputs.ball is None else inputs.ball[:3]
        if targets.width != targets.height:
            raise InputError(
                f"cameras of {targets.width}×{targets.height} pixels: the model makes square "
                "images: give square cameras"
            )
        seen, asked = (each.translated(-center) for each in (cut.cameras, targets))
        if not bool((seen.centers.norm(dim=1) > 0).all()):
            raise InputError("an input camera stands in the center of the object: move it away")
        network = model.average
        geometry = network.geometry(seen, asked.resized(size, size), 1)
        codes = SPACE.encode(images)[None]
        tokens = network.encode(codes, geometry)
        # As `encode` gives them for sets that are dropped.
        return Encoded(tokens, network.unknown.expand_as(tokens), geometry)


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run of a view method. InputError."""
    tensors = RunFolder.open(folder).load().model
    start = "average."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }

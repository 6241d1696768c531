"""View models without learning: what commands do with one does not depend on weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from unrender.data.builtin import render_scene
from unrender.data.views import Views
from unrender.flows.data_space import OverWhite
from unrender.flows.guidance import Denoiser
from unrender.geometry.cameras import Cameras
from unrender.ranges import Range
from unrender.rendering.renderer import Images
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Fitted, Method


class Nothing(nn.Module):
    """A model with one parameter, which is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))


@dataclass(frozen=True)
class FakeViews(Method[Nothing, Views]):
    """The mean of the inputs over all targets, and what it was asked."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    any_size: ClassVar[bool] = False
    generates_views: ClassVar[bool] = True

    side: int = 16

    def build(self, data: Views, generator: torch.Generator) -> Nothing:
        return Nothing()

    def restore(self, tensors: Mapping[str, Tensor]) -> Nothing:
        return Nothing()

    def optimizer(self, model: Nothing) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters())

    def losses(self, model, data, progress, generator) -> Mapping[str, Tensor]:
        return {"loss": model.unused.sum()}

    def image_size(self, model: Nothing) -> int:
        return self.side

    def novel_views(
        self, model: Nothing, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        return inputs.rgba.mean(0).expand(len(targets), -1, -1, -1)


@dataclass(frozen=True)
class Oracle(FakeViews):
    """The built-in chair as it is, whatever the inputs are."""

    def novel_views(
        self, model: Nothing, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        return render_scene("chair", targets, 2).images


@dataclass(frozen=True)
class OracleFlow(Oracle):
    """The built-in chair, as a flow that knows it: whatever it is given, it sees the chair."""

    def denoiser(
        self, model: Nothing, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        images = [_chair(camera) for camera in targets]
        clean = OverWhite().encode(torch.cat(images))
        return lambda x, t: clean.to(x)


SEEN: dict[tuple[float, ...], Tensor] = {}


def _chair(camera: Cameras) -> Tensor:
    """The chair's image, which is rendered once from each camera."""
    key = (camera.width, *camera.world_from_camera.flatten().tolist())
    if key not in SEEN:
        SEEN[key] = render_scene("chair", camera, 2).images
    return SEEN[key]


@dataclass(frozen=True)
class FakeFlow(FakeViews):
    """The mean of the inputs with noise, as a flow's samples: with options of one."""

    guidance: Annotated[float, Range(0, 100)] = 3.0
    image_steps: int = 4

    def novel_views(
        self, model: Nothing, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        mean = super().novel_views(model, inputs, targets, generator)
        # As by a flow, all targets of a call have the same noise.
        return (mean + 0.1 * torch.rand(mean.shape[1:], generator=generator)).clamp(0, 1)

    def denoiser(
        self, model: Nothing, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        clean = OverWhite().encode(inputs.rgba.mean(0)[None])
        return lambda x, t: clean.expand_as(x)


def fitted(method: FakeViews) -> Fitted[Nothing]:
    return Fitted(method, Nothing())

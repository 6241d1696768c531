"""What a method owes to the rest of the library."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images, PoseEstimate, Rendering
from unrender.shapes.shape import Shape

Model = TypeVar("Model", bound=nn.Module)
Data = TypeVar("Data")


@dataclass(frozen=True)
class Progress:
    """Where a training run stands."""

    step: int
    """Optimiser steps taken before this one."""
    fraction: float
    """Share of the budget used, in [0, 1): of the steps, or the minutes if they end first."""

    def falling(self, last: float) -> float:
        """From 1 at the start to `last` at the end, along half a cosine."""
        return last + (1 - last) * (1 + math.cos(math.pi * self.fraction)) / 2


class Method(ABC, Generic[Model, Data]):
    """The options of one paper, and what they build, render and minimise.

    Subclasses are frozen dataclasses: the options that the command line shows are the
    object that runs. All that changes in training lives in the model: its parameters and
    its buffers, which are what a checkpoint holds.
    """

    makes_images: ClassVar[bool] = True
    """Whether there is anything to `render`."""
    any_size: ClassVar[bool] = True
    """Whether images may have any size, or only that of the training views."""

    @abstractmethod
    def build(self, data: Data, generator: torch.Generator) -> Model:
        """The model before its first step, on the CPU."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> Model:
        """The model whose `state_dict` these tensors are, without its data set."""

    @abstractmethod
    def optimizer(self, model: Model) -> torch.optim.Optimizer: ...

    def prepare(self, model: Model, data: Data) -> Data:
        """What `losses` and `finish` are given: called once, on the device, before the steps.

        Also when a run goes on. Here is the place for what every step would repeat.
        """
        return data

    def learning_rate(self, progress: Progress) -> float | Sequence[float]:
        """Factor on the optimiser's initial learning rates, or one for each of its groups."""
        return 1.0

    @abstractmethod
    def losses(
        self, model: Model, data: Data, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimised. The method draws its own batch of `data`.

        Terms whose names start with "metric/" are shown and logged but not minimised.
        """

    def after_step(
        self, model: Model, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        """Change what gradients do not: grids, averages, shapes. Most methods have none."""

    def finish(self, model: Model, data: Data) -> None:
        """Last change of the model, after the last step. Most methods have none."""

    def smaller(self) -> "Method[Model, Data] | None":
        """The same method with half the batch, for a GPU that is too small; None at the end."""
        return None

    @abstractmethod
    def render(self, model: Model, cameras: Cameras) -> Rendering:
        """Whole images, without randomness."""


class PoseMethod(Method[Model, Data]):
    """A method that also goes the other way: a `PoseEstimator` once it is bound to a model."""

    @abstractmethod
    def estimate_poses(self, model: Model, images: Images) -> PoseEstimate: ...


class ShapeMethod(Method[Model, Data]):
    """A method that answers a photograph with a shape, and makes no images."""

    makes_images: ClassVar[bool] = False

    @abstractmethod
    def predict(self, model: Model, images: Images) -> list[Shape]:
        """The shape in each cut-out photograph, of any size. InputError if one is empty."""

    def render(self, model: Model, cameras: Cameras) -> NoReturn:
        raise InputError(
            "the run predicts shapes from photographs and makes no images: use "
            "`unrender predict`, and render the mesh"
        )


def halve(method: "Method[Model, Data]", option: str) -> "Method[Model, Data] | None":
    """`smaller` for methods whose batch is one whole-number option; None below 2."""
    size = getattr(method, option)
    assert dataclasses.is_dataclass(method)
    return dataclasses.replace(method, **{option: size // 2}) if size >= 2 else None

"""What a method provides, and the kind of data that it learns from.

A `Method` is the options of a paper: it builds a model, says what is minimized, and renders.
Its `data` is a `DataKind`, which says how data are read, described and scored. A method bound
to the model that it fitted is a `Fitted`.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.data.origin import HERE, Origin
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.scores import Scores
from unrender.flows.data_space import DataSpace, OverWhite
from unrender.flows.guidance import Denoiser
from unrender.geometry.cameras import Cameras
from unrender.ranges import check_ranges
from unrender.rendering.renderer import Images, PoseEstimate, Renderer, Rendering
from unrender.shapes.shape import Shape
from unrender.training.recorded_options import recorded_options

Model = TypeVar("Model", bound=nn.Module)
Data = TypeVar("Data")
Source = TypeVar("Source")
"""All of the data as they are read, with the held-out part where there is one."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands."""

    step: int
    """Optimizer steps taken before this one."""
    fraction: float
    """Share of the budget used, in [0, 1): of steps, or of minutes if these end first."""

    def falling(self, last: float) -> float:
        """From 1 at the start to `last` at the end, along half a cosine."""
        return last + (1 - last) * (1 + math.cos(math.pi * self.fraction)) / 2

    def rising(self, steps: int) -> float:
        """From 1 / steps at the first step to 1 at the last of `steps`, and 1 afterwards."""
        return min(1.0, (self.step + 1) / max(1, steps))


class Method(ABC, Generic[Model, Data]):
    """The options of one paper, and what they build, render and minimize.

    Subclasses are frozen dataclasses: the options that the command line shows are the object
    that runs. All that changes in training lives in the model: its parameters and its buffers,
    which are what a checkpoint holds.
    """

    data: ClassVar["DataKind[Any, Any]"]
    """The kind of data that the method is fitted to."""
    makes_images: ClassVar[bool] = True
    """Whether the model can be rendered from a camera."""
    any_size: ClassVar[bool] = True
    """Whether images may have any size, or only that of the training views."""
    antialiased: ClassVar[bool] = False
    """Whether smaller images are averages over their pixels, and whole images are cheap."""
    finds_poses: ClassVar[bool] = False
    """Whether the model estimates cameras from images."""
    has_shape: ClassVar[bool] = False
    """Whether the model is a shape, not only images of one."""
    is_solid: ClassVar[bool] = False
    """Whether that shape has an inside, which is scored too."""
    predicts_shapes: ClassVar[bool] = False
    """Whether the model predicts a shape from an image."""
    generates_views: ClassVar[bool] = False
    """Whether the model makes images from new cameras, given images of a scene it has not
    been fitted to."""

    moves: ClassVar[bool] = False
    """Whether the model is of a scene that moves: cameras need `times`."""

    default_minutes: ClassVar[float] = 5.0
    """Minutes of training where neither minutes nor steps are given."""

    def __post_init__(self) -> None:
        """InputError for an option outside its range; see `unrender.ranges`."""
        check_ranges(self)

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

        It is called again when a run is resumed. Here is the place for what every step would
        repeat.
        """
        return data

    def schedule(self, progress: Progress) -> float | Sequence[float]:
        """Factor on the optimizer's initial learning rates, or one for each of its groups."""
        return 1.0

    @abstractmethod
    def losses(
        self, model: Model, data: Data, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimized. The method draws its own batch of `data`.

        Terms whose names start with "metric/" are shown and logged but not minimized.
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

    def render(self, model: Model, cameras: Cameras) -> Rendering:
        """Whole images, without randomness. InputError where `makes_images` is False."""
        raise InputError(
            f"this model, fitted to {self.data.name}, cannot be rendered from a camera"
        )

    def canonical(self, model: Model) -> Model:
        """The model of the canonical scene at any time; InputError where `moves` is False."""
        raise InputError("this model is of a scene that does not move: it is canonical")

    def image_size(self, model: Model) -> int:
        """Pixels per side of the model's images, where `any_size` is False."""
        raise NotImplementedError

    def estimate_poses(self, model: Model, images: Images) -> PoseEstimate:
        """Cameras of images. InputError where `finds_poses` is False."""
        if not self.any_size:
            raise InputError(
                "this model renders images of poses but estimates no poses: use a method that "
                "does, such as sit"
            )
        raise InputError(
            "this model refines poses but does not find them: give starting cameras with "
            "--start, or a pose flow with --flow"
        )

    def shape(self, model: Model) -> Shape:
        """The model as a shape, in the frame of its data. InputError without `has_shape`."""
        raise InputError("this model holds no shape: name a run of fit-shape")

    def predict(self, model: Model, images: Images) -> list[Shape]:
        """The shape in each cut-out image, of any size.

        Raises InputError if an image is empty, and where `predicts_shapes` is False.
        """
        raise InputError(
            "this model predicts no shapes: name a run of image-to-mesh, image-to-points, "
            "image-to-voxels or image-to-occupancy"
        )

    def novel_views(
        self, model: Model, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        """Square premultiplied RGBA images from `targets`, given the images of `inputs`.

        Both are in one world frame, of any scale. The object's center is that of
        `inputs.ball` or, without one, the point that the cameras of `inputs` look at. Raises
        InputError where `generates_views` is False.
        """
        raise InputError(
            "this model makes no novel views of other scenes: name a run of view-regression or "
            "view-flow"
        )

    def denoiser(
        self, model: Model, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        """A flow's estimate of clean images from noisy ones, given `inputs` as above.

        `guidance` is the scale of classifier-free guidance; 1 is none. InputError for models
        that are no flows.
        """
        raise InputError(
            "this model is no flow from noise to novel views: name one of view-flow"
        )

    def view_space(self, model: Model) -> DataSpace:
        """The data space of `denoiser`: RGB over white and alpha, unless it is of latents."""
        return OverWhite()

    def density_at(
        self, model: Model, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        """Density per scene unit at world points. InputError for models without one.

        Where `moves` is True it is that of the canonical scene: see `deform`.
        """
        raise InputError(
            "this model is no density field: leave out losses on normals, or use instant-ngp"
        )

    def deform(
        self, model: Model, points: Float[Tensor, "points 3"], time: float
    ) -> Float[Tensor, "points 3"]:
        """Where world points of the scene at `time` lie in the canonical scene.

        Raises InputError where `moves` is False, and for times outside of `time_range`.
        """
        raise InputError("this model is of a scene that does not move: leave out times")

    def time_range(self, model: Model) -> tuple[float, float]:
        """First and last time of the film. InputError where `moves` is False."""
        raise InputError("this model is of a scene that does not move: leave out times")

    def score(self, model: Model, count: int, generator: torch.Generator) -> dict[str, float]:
        """Figures that only this method knows, from `count` random points. Most have none."""
        return {}


def halve(method: "Method[Model, Data]", option: str) -> "Method[Model, Data] | None":
    """`smaller` for methods whose batch is one integer option; None below 2."""
    size = getattr(method, option)
    assert dataclasses.is_dataclass(method)
    return dataclasses.replace(method, **{option: size // 2}) if size >= 2 else None


@dataclass(frozen=True)
class Fitted(Generic[Model]):
    """A method bound to the model that it fitted."""

    method: Method[Model, Any]
    model: Model

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def renderer(self) -> Renderer:
        """Renders on the model's device and returns the images on the cameras' device.

        InputError for cameras of several image sizes.
        """

        def render(cameras: Cameras) -> Rendering:
            cameras.sizes.one  # noqa: B018 - raises
            rendering = self.method.render(self.model, cameras.to(self.device))
            return rendering.to(cameras.device)

        return render

    @property
    def image_size(self) -> int | None:
        """Pixels per side of a pose flow's images; None for models that render any size."""
        return None if self.method.any_size else self.method.image_size(self.model)

    @property
    def megabytes(self) -> float:
        """Size of the model's parameters and buffers, in MB."""
        tensors = self.model.state_dict().values()
        return sum(t.numel() * t.element_size() for t in tensors) / 1e6

    @property
    def num_parameters(self) -> int:
        """Numbers that training changes."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def estimate_poses(self, images: Images) -> PoseEstimate:
        """Cameras of images, computed on the model's device. InputError."""
        estimate = self.method.estimate_poses(self.model, images.to(self.device))
        return estimate.to(images.device)

    def shape(self) -> Shape:
        """The shape that the model is, on the CPU. InputError if it is none."""
        return self.method.shape(self.model).to("cpu")

    def novel_views(
        self, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        """Images from `targets` given `inputs`, on the cameras' device. InputError."""
        there = inputs.to(self.device), targets.to(self.device)
        return self.method.novel_views(self.model, *there, generator).to(targets.device)

    def predict(self, images: Images) -> list[Shape]:
        """The shape in each cut-out image, on the CPU. InputError."""
        found = self.method.predict(self.model, images.to(self.device))
        return [shape.to("cpu") for shape in found]


@dataclass(frozen=True)
class Description:
    """What a run records of its data, so that later commands need not read them again."""

    source: dict[str, Any]
    """Where the data came from and how they were read: `data` in config.json."""
    cameras: Cameras
    """Cameras to render the model from: its training views, or cameras around a shape."""
    names: tuple[str, ...]
    """Names of the images that these cameras took."""
    tensors: Iterable[Tensor]
    """Tensors that identify the dataset, to be taken once."""
    background: list[float] | None = None
    """The constant color behind RGB images."""
    opaque: bool = False
    """Whether images have a background that belongs to the scene."""
    keep_cameras: bool = True
    """Whether a run keeps these cameras, for paths around the scene and for export."""
    origin: Origin = HERE
    """Where the origin of the cameras' world frame is in the coordinates of the data."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on held-out data, and what a report shows beside them."""

    scores: Scores
    details: Any = None
    """Images, poses and whatever else the kind of data compared."""


class Watcher(ABC):
    """Follows a fit into a run folder: what the folder gets beside checkpoints."""

    @abstractmethod
    def watch(self, model: Any, seconds: float) -> None:
        """Called each time a line is logged."""

    @abstractmethod
    def write(self, fitted: Fitted[Any], folder: Path) -> None:
        """Called once, at the end."""


class DataKind(ABC, Generic[Source, Data]):
    """One kind of data: how it is read, described, split and scored."""

    name: ClassVar[str]
    """In the plural, as in "fitted to posed images"."""
    options: ClassVar[type[Any]]
    """A frozen dataclass of how data are read: its fields are options of the command line."""

    @abstractmethod
    def read(self, source: object, options: Any) -> Source:
        """Data from a path or a built-in name; data in memory are returned as they are.

        Raises InputError for what this kind of data cannot be read from.
        """

    @abstractmethod
    def training(self, data: Source) -> Data:
        """What training sees."""

    @abstractmethod
    def describe(self, data: Source) -> Description: ...

    @abstractmethod
    def evaluate(
        self, fitted: Fitted[Any], data: Source, lpips: LPIPS | None = None
    ) -> Evaluation:
        """Scores on the held-out part. InputError if there is none."""

    def remarks(self, method: Method[Any, Any], data: Source) -> list[str]:
        """What is assumed of the data, in sentences, to be told before a fit."""
        return []

    def watcher(
        self, method: Method[Any, Any], data: Source, device: torch.device
    ) -> Watcher | None:
        """What follows a fit into a run folder."""
        return None

    def read_again(self, recorded: Mapping[str, Any], source: str | None = None) -> Source:
        """The data that a run records, or `source` read in the same way. InputError."""
        where = source or recorded.get("source")
        if where is None:
            raise InputError(
                "the run was fitted to data in memory, which are not kept: name the data to "
                "evaluate it on"
            )
        options = recorded_options(self.options, recorded, "config.json: data")
        return self.read(str(where), options)

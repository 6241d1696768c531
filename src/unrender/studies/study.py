"""Base classes of studies and experiments, and the subject that a study evaluates."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.resume import fit_or_open
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.make_views import make_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.renders import WHITE
from unrender.flows.pose_flow import PoseFlow
from unrender.geometry.bounds import camera_statistics
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.sit import SiTFlow
from unrender.rendering.renderer import Renderer, supersampled
from unrender.report.findings import Findings
from unrender.training.fit import Device, FitOptions

SUPERSAMPLE = 3
"""Square root of the rays per pixel of the scene's renders, as in the flow's training views."""


@dataclass(frozen=True)
class Subject:
    """A flow, the fitted scene on whose renders it was trained, and held-out views."""

    flow: Run
    scene: Run
    views: Dataset
    """The dataset that the scene was fitted to, with its held-out views."""
    work: Path
    """Folder for the flows that a study trains; finished ones are reused."""
    seed: int = 0
    say: Callable[[str], None] = print

    @property
    def name(self) -> str:
        return self.views.name

    @property
    def method(self) -> SiTFlow:
        assert isinstance(self.flow.method, SiTFlow)
        return self.flow.method

    @property
    def model(self) -> PoseFlow:
        assert isinstance(self.flow.model, PoseFlow)
        return self.flow.model

    @property
    def size(self) -> int:
        """Side of the flow's images, in pixels."""
        return self.flow.view_ranges["width"]

    @cached_property
    def test(self) -> Views:
        """The held-out views at the flow's image size."""
        return self.views.test.resized(self.size, self.size)

    @property
    def scene_renderer(self) -> Renderer:
        """Supersampled renderer of the scene, as for the flow's training views."""
        return supersampled(self.scene.renderer, SUPERSAMPLE)

    @cached_property
    def rendered_test(self) -> Views:
        """Renders of the scene from the held-out cameras, at the flow's image size."""
        return self.render(self.test.cameras)

    def render(self, cameras: Cameras) -> Views:
        """Renders of the scene from the given cameras."""
        return make_views(self.scene.renderer, cameras, SUPERSAMPLE)

    def with_options(self, flow: Run | None = None, **options: Any) -> Run:
        """The flow (by default the studied one) with some options replaced."""
        return (flow or self.flow).with_options(**options)

    def cameras(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> Cameras:
        """Cameras at the given poses with the flow's intrinsics and image size."""
        intrinsics = self.test.cameras.intrinsics[:1].expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, self.size, self.size)

    def shell(self, count: int, seed: int) -> Cameras:
        """Random cameras with the distribution of the scene's training cameras."""
        radius, elevation = camera_statistics(self.views.train.cameras)
        generator = torch.Generator().manual_seed(seed)
        return self.cameras(spherical_shell(count, radius, generator, elevation))

    def trained(self, name: str, method: SiTFlow, data: Views, options: FitOptions) -> Run:
        """A flow trained on the given views; a finished run in `work` is reused.

        An interrupted run resumes from its last checkpoint.
        """
        out = self.work / name
        if not out.exists():
            self.say(f"Training {name}")
        dataset = Dataset.of_views(data, f"renders of {self.name}")
        return fit_or_open(method, dataset, options, out)


def open_subject(
    flow: Path,
    scene: Path,
    data: str | None = None,
    work: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> Subject:
    """Open a flow and a scene by their run folders.

    `data` is the dataset for evaluation, by default the one that the scene was fitted to.
    Flows that studies train are written to `work`, by default studies/runs in the flow's
    folder. Raises InputError if either run is of the wrong kind.
    """
    opened, fitted = Run.open(flow, device), Run.open(scene, device)
    if not isinstance(opened.method, SiTFlow):
        raise InputError(f"{flow}: is not a pose flow: give the --out of `unrender fit sit`")
    if fitted.image_size is not None:
        raise InputError(
            f"{scene}: is not a fitted scene: give the --out of `unrender fit instant-ngp-fast`"
        )
    dataset: Dataset = fitted.load_data(data)
    return Subject(opened, fitted, dataset, work or flow / "studies" / "runs", seed)


class Study(ABC):
    """One question about a flow. Subclasses are frozen dataclasses of the study's options."""

    @abstractmethod
    def run(self, subject: Subject) -> Findings: ...


class Experiment(ABC):
    """One question that needs no run. Subclasses are frozen dataclasses of its options."""

    @abstractmethod
    def run(self, seed: int, say: Callable[[str], None]) -> Findings: ...


def over_white(views: Views) -> Float[Tensor, "views height width 3"]:
    return views.over(WHITE).clamp(0, 1)

"""What a study is given, and what it owes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.fit import fit_or_open
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.make_views import camera_statistics, make_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.renders import WHITE
from unrender.flows.pose_flow import PoseFlow
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.sit import SiTFlow
from unrender.rendering.renderer import Renderer, supersampled
from unrender.studies.findings import Findings
from unrender.training.fit import Device, FitOptions

SUPERSAMPLE = 3
"""Rays a side of each pixel of the scene's renders, as the flow's training views have."""


@dataclass(frozen=True)
class Subject:
    """A flow, the scene that it was trained on renders of, and views that neither has seen."""

    flow: Run
    scene: Run
    views: Dataset
    """The photographs that the scene was fitted to, and those held out."""
    work: Path
    """Folder for the flows that a study trains; finished ones are used again."""
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
        """Pixels a side of the flow's images."""
        return self.flow.view_ranges["width"]

    @cached_property
    def test(self) -> Views:
        """The held-out photographs at the flow's size."""
        return self.views.test.resized(self.size, self.size)

    @property
    def scene_renderer(self) -> Renderer:
        """The scene, as the flow's training views were rendered."""
        return supersampled(self.scene.renderer, SUPERSAMPLE)

    @cached_property
    def rendered_test(self) -> Views:
        """What the scene makes of the held-out cameras, at the flow's size."""
        return self.render(self.test.cameras)

    def render(self, cameras: Cameras) -> Views:
        """The scene's images of cameras."""
        return make_views(self.scene.renderer, cameras, SUPERSAMPLE)

    def with_options(self, flow: Run | None = None, **options: Any) -> Run:
        """The flow, or another one, used with other options."""
        return (flow or self.flow).with_options(**options)

    def cameras(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> Cameras:
        """Cameras at these poses with the flow's lens and image size."""
        intrinsics = self.test.cameras.intrinsics[:1].expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, self.size, self.size)

    def shell(self, count: int, seed: int) -> Cameras:
        """Random cameras that stand where the scene's training cameras do."""
        radius, elevation = camera_statistics(self.views.train.cameras)
        generator = torch.Generator().manual_seed(seed)
        return self.cameras(spherical_shell(count, radius, generator, elevation))

    def trained(self, name: str, method: SiTFlow, data: Views, options: FitOptions) -> Run:
        """A flow trained on these views, or the one that was trained before.

        What was interrupted goes on from its last checkpoint.
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
    """A flow and a scene by their run folders.

    `data` are the views to be judged by; by default those that the scene was fitted to. The
    flows that studies train come into `work`, by default studies/runs in the flow's folder.
    """
    opened, fitted = Run.open(flow, device), Run.open(scene, device)
    if not isinstance(opened.method, SiTFlow):
        raise InputError(f"{flow}: is no flow of poses: give the --out of `unrender fit sit`")
    if fitted.image_size is not None:
        raise InputError(f"{scene}: is no scene: give the --out of `unrender fit instant-ngp`")
    dataset: Dataset = fitted.load_data(data)
    return Subject(opened, fitted, dataset, work or flow / "studies" / "runs", seed)


class Study(ABC):
    """One question about a flow. Subclasses are frozen dataclasses of its options."""

    @abstractmethod
    def run(self, subject: Subject) -> Findings: ...


class Experiment(ABC):
    """One question that needs no run: it makes what it looks at. A frozen dataclass, too."""

    @abstractmethod
    def run(self, seed: int, say: Callable[[str], None]) -> Findings: ...


def over_white(views: Views) -> Float[Tensor, "views height width 3"]:
    return views.over(WHITE).clamp(0, 1)

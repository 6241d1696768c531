"""What a fitted model is, and how it was fitted: the attributes of `Run`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unrender.data.formats.camera_files import NamedCameras
from unrender.data.origin import HERE, Origin
from unrender.errors import InputError
from unrender.evaluation.scores import Scores, with_unit
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer
from unrender.training.method import Fitted, Method
from unrender.training.metrics import Entry
from unrender.training.record import Record
from unrender.training.run_folder import RunFolder


@dataclass(frozen=True, repr=False)
class RunState:
    """A record of a fit with its model."""

    record: Record
    """Where its configuration, its metrics and its checkpoint are."""
    fitted: Fitted[Any]
    """The method and the model."""
    data: Any = None
    """What it was fitted to, as long as that is in memory."""

    @property
    def method(self) -> Method[Any, Any]:
        """The method with its options."""
        return self.fitted.method

    @property
    def model(self) -> nn.Module:
        return self.fitted.model

    @property
    def preset(self) -> str:
        """The preset that it was fitted with."""
        described = self.config["method"]
        return str(described.get("preset", described["name"]))

    @property
    def reason(self) -> str | None:
        """Why the preset was chosen, where `auto` chose it."""
        found = self.config["method"].get("reason")
        return None if found is None else str(found)

    @property
    def path(self) -> Path | None:
        """Its folder; None while it is in memory alone."""
        return self.record.path if isinstance(self.record, RunFolder) else None

    @property
    def label(self) -> str:
        """Its folder, or its preset, for messages."""
        return self.preset if self.path is None else str(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """The method, the data and the options of the fit, as config.json holds them."""
        return self.record.config

    @property
    def metrics(self) -> list[Entry]:
        """What was logged while it was fitted: steps, seconds, loss and more."""
        return self.record.metrics

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return int(self.record.state["step"])

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return float(self.record.state["seconds"])

    @property
    def finished(self) -> bool:
        """Whether the fit came to its end; if not, `resume` continues it."""
        return self.record.finished

    @property
    def device(self) -> torch.device:
        return self.fitted.device

    @property
    def renderer(self) -> Renderer:
        """A function from cameras to a `Rendering`, differentiable in the poses."""
        return self.fitted.renderer

    @property
    def image_size(self) -> int | None:
        """Pixels per side of a pose flow's images; None for models that render any size."""
        return self.fitted.image_size

    @property
    def source(self) -> str | None:
        """Path or name of the data that it was fitted to; None if they were in memory."""
        found = self.config.get("data", {}).get("source")
        return None if found is None else str(found)

    @property
    def cameras(self) -> Cameras:
        """The cameras of the training views. InputError if the run kept none."""
        return self.named_cameras().cameras

    @property
    def origin(self) -> Origin:
        """Where the run's world origin is in the coordinates that its data came with.

        It is 0, 0, 0 unless these are far from their origin, such as UTM.
        """
        found = self.record.cameras
        return HERE if found is None else found.origin

    def named_cameras(self) -> NamedCameras:
        """The cameras of the training views with the names of these. InputError.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.named_cameras().cameras
        Cameras(100 × 20×20, fov 39.6°)
        """
        found = self.record.cameras
        if found is None:
            raise InputError(
                f"{self.label}: keeps no cameras of training views: continue its fit with "
                "--resume, which writes them"
            )
        return found

    @property
    def view_ranges(self) -> dict[str, Any]:
        """Size, intrinsics, radius and elevation (degrees) of the training views."""
        return self.config["views"]

    @property
    def opaque(self) -> bool:
        """Whether the images it was fitted to have a background that belongs to the scene."""
        return bool(self.view_ranges.get("opaque", False))

    @property
    def behind(self) -> Tensor | None:
        """The color over which images of it are opaque; None for objects that are cut out.

        Of RGB images of an object it is their background, and white of photographs with one.
        """
        recorded = self.view_ranges.get("background")
        if recorded is not None:
            return torch.tensor(recorded)
        return torch.ones(3) if self.opaque else None

    def training_like(self, world_from_camera: torch.Tensor) -> Cameras:
        """Cameras at [n, 3, 4] poses with the intrinsics and size of the training views.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.training_like(ur.Cameras.look_at((4, 0, 1)).world_from_camera)
        Cameras(1 × 20×20, fov 39.6°)
        """
        views = self.view_ranges
        intrinsics = torch.tensor(views["intrinsics"]).expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, views["width"], views["height"])

    def __repr__(self) -> str:
        data = self.config.get("data", {})
        name = data.get("scene") or (
            Path(self.source).stem if self.source else "data in memory"
        )
        state = "" if self.finished else ", not finished"
        scores = self._kept_scores()
        psnr = scores.get("psnr")
        quality = f", {with_unit('psnr', psnr)}" if isinstance(psnr, float) else ""
        return f"Run({self.preset} on {name}, {self.steps} steps{state}{quality})"

    def _repr_html_(self) -> str:
        """Its training curve and its figures, in a notebook."""
        from unrender.report.run import run_summary  # noqa: PLC0415 - matplotlib is slow

        return run_summary(repr(self), self.metrics, Scores(self._kept_scores()))

    def _kept_scores(self) -> Mapping[str, Any]:
        """What evaluation.json holds."""
        return self.record.evaluation

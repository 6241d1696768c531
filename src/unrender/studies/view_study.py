"""Base class of studies of view models, and the models and objects that they measure."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.resume import fit_or_open
from unrender.api.run import Run
from unrender.api.view_sources import ViewSource, of_scene
from unrender.data.load import LoadOptions
from unrender.data.view_sets.objects import ObjectStream
from unrender.data.view_sets.view_sets import white
from unrender.errors import InputError
from unrender.evaluation.images import psnr, ssim
from unrender.evaluation.view_sets import sharpness, views_of
from unrender.geometry.paths import evenly
from unrender.methods.presets.view_models import Kind, open_view_model
from unrender.methods.view_regression import ViewRegression
from unrender.report.findings import Findings
from unrender.training.data_kinds.view_sets import ViewSetDataset
from unrender.training.fit import Device, FitOptions
from unrender.training.method import Fitted
from unrender.training.view_generation import is_flow

Pictures = Sequence[Float[Tensor, "targets height width 3"]]
"""RGB over white of the targets of each object."""


@dataclass(frozen=True)
class ViewSubject:
    """View models, and what they are measured on."""

    regression: Path | None = None
    """Run folder of view-regression; None for the weights in the package."""
    flow: Path | None = None
    """Run folder of view-flow; None for the weights in the package."""
    data: str | None = None
    """A posed scene or, for distillation, a photograph; None for held-out objects."""
    work: Path = Path("studies/runs")
    """Folder of the models that a study trains; finished ones are used again."""
    seed: int = 0
    device: Device = "auto"
    say: Callable[[str], None] = print

    @cached_property
    def _regression(self) -> Fitted[Any]:
        fitted = open_view_model(self.regression, "regression", self.device)
        if is_flow(fitted):
            raise InputError(f"{self.regression}: is a flow: give it as --flow")
        return fitted

    @cached_property
    def _flow(self) -> Fitted[Any]:
        fitted = open_view_model(self.flow, "flow", self.device)
        if not is_flow(fitted):
            raise InputError(f"{self.flow}: is no flow: give the --out of a fit of view-flow")
        return fitted

    def model(self, kind: Kind) -> Fitted[Any]:
        """The view model of this kind, opened once. InputError, also for the other kind."""
        return self._regression if kind == "regression" else self._flow

    def size(self, kinds: Sequence[Kind]) -> int:
        """Pixels per side of the images of these models. InputError if they differ."""
        sizes = {kind: self.model(kind).image_size for kind in kinds}
        if len(set(sizes.values())) > 1:
            shown = " and ".join(f"{size} ({kind})" for kind, size in sizes.items())
            raise InputError(f"view models of {shown} pixels: give two of one size")
        size = next(iter(sizes.values()))
        assert size is not None, "view models have one size"
        return size

    def sources(self, count: int, known: int, targets: int, size: int) -> list[ViewSource]:
        """What is measured on: `count` held-out objects of all families, or the posed scene.

        Each object has `known` views to choose inputs from and `targets` others; of the scene
        there are as many as it has. InputError.
        """
        if self.data is not None:
            found = of_scene(self.data, LoadOptions())
            if not len(found.held_out):
                raise InputError(f"{self.data}: has no held-out views: give a scene that has")
            some = torch.tensor(evenly(targets, len(found.held_out)))
            return [ViewSource(found.name, found.known, found.held_out.select(some), False)]
        self.say(f"Rendering {count} held-out object{'' if count == 1 else 's'}")
        pool = ObjectStream((), 1, 0, known + targets, size).held_out(count)
        every = torch.arange(known + targets).expand(count, -1)
        batch = pool.batch(torch.arange(count), every)
        sources: list[ViewSource] = []
        for number in range(count):
            views = views_of(batch, number)
            sources.append(ViewSource(f"object {number}", views[:known], views[known:], False))
        return sources

    def trained(
        self, name: str, method: ViewRegression, data: ViewSetDataset, steps: int
    ) -> Run:
        """A regression trained on these sets for so many steps; a finished run is used again.

        An interrupted run is continued from its last checkpoint.
        """
        out = self.work / f"{name}-{steps}-steps-seed-{self.seed}"
        if not out.exists():
            self.say(f"Training {out.name}")
        options = FitOptions(
            steps=steps, seed=self.seed, device=self.device, checkpoint_every=250
        )
        return fit_or_open(method, data, options, out)


@dataclass(frozen=True)
class ViewStudy(ABC):
    """One question about view models. Subclasses are frozen dataclasses of its options."""

    @abstractmethod
    def run(self, subject: ViewSubject) -> Findings: ...


def view_scores(made: Pictures, truth: Pictures) -> dict[str, float]:
    """Mean PSNR and SSIM of all views, and their sharpness relative to the truth."""
    a, b = torch.cat(list(made)), torch.cat(list(truth))
    return {
        "PSNR, dB": float(psnr(a, b).mean()),
        "SSIM": float(ssim(a, b).mean()),
        "sharpness": sharpness(a, b),
    }


def pairwise_distance(images: Float[Tensor, "samples *_ height width 3"]) -> float:
    """Mean over all pairs of samples of the root mean square difference of their pixels.

    NaN for a single sample, which has no pair.
    """
    flat = images.flatten(1)
    pairs = torch.combinations(torch.arange(len(flat)))
    return float((flat[pairs[:, 0]] - flat[pairs[:, 1]]).square().mean(1).sqrt().mean())


def on_white(images: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Premultiplied RGBA over white, in [0, 1]."""
    return white(images).clamp(0, 1)


def chosen(only: Sequence[str], known: Sequence[str], option: str = "--only") -> list[str]:
    """The `known` names that are among `only`, by default all. InputError for others."""
    for name in only:
        if name not in known:
            listed = ", ".join(map(repr, known))
            raise InputError(f"{option} {name!r:.60}: choose among {listed}")
    return [name for name in known if not only or name in only]

"""Study: novel views by the number and choice of inputs, guidance, steps and conditions.

PSNR, SSIM and sharpness are of views over white that no model has seen. Objects are procedural
ones that are never trained on, or there is one posed scene.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from unrender.api.view_sources import ViewSource
from unrender.errors import InputError
from unrender.methods.presets.view_models import Kind
from unrender.ranges import Range, check_ranges
from unrender.report.findings import Findings, Part, Record
from unrender.studies.novel_view_parts import Measured
from unrender.studies.view_study import (
    ViewStudy,
    ViewSubject,
    chosen,
)
from unrender.training.data_kinds.view_sets import OBJECTS

PARTS = ("models", "inputs", "guidance", "steps", "cameras")
OF_A_FLOW = ("guidance", "steps")


@dataclass(frozen=True)
class NovelViews(ViewStudy):
    """Views by N inputs and their choice, guidance, steps, and how cameras are told."""

    only: tuple[str, ...] = ()
    """Parts to measure: models, inputs, guidance, steps, cameras; by default all."""
    models: tuple[str, ...] = ("regression", "flow")
    """View models to measure; guidance and steps are those of the flow."""
    inputs: tuple[int, ...] = (1, 3, 5, 10, 50)
    """Numbers of input images; those that the data do not have are left out."""
    objects: Annotated[int, Range(1, 1 << 16)] = 12
    """Held-out procedural objects, where there is no --data."""
    targets: Annotated[int, Range(1, 1 << 16)] = 4
    """Views of each object that are made, and compared."""
    guidance: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    """Scales of classifier-free guidance; 1 is none."""
    steps: Annotated[tuple[int, ...], Range(1, 1 << 16)] = (1, 2, 5, 10, 20, 50)
    """Numbers of integration steps of the flow."""
    samples: Annotated[int, Range(2, 256)] = 4
    """Samples of the flow, of which the best is chosen and whose differences are measured."""
    train_steps: Annotated[int, Range(1, 10**9)] = 1500
    """Training steps of a small regression for each way to tell cameras: 10 minutes in all on
    two cores."""
    train_objects: Annotated[int, Range(1, 1 << 20)] = 1024
    """Procedural objects that these are trained on."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def run(self, subject: ViewSubject) -> Findings:
        kinds: list[Any] = chosen(self.models, get_args(Kind), "--models")
        parts = chosen(self.only, PARTS)
        if "flow" not in kinds:
            parts = [part for part in parts if part not in OF_A_FLOW]
        if not parts:
            raise InputError(f"--only {' '.join(self.only)}: needs a flow: add it to --models")
        if not self.inputs:
            raise InputError("--inputs: give a number of input images")
        size = subject.size(kinds)
        sources = subject.sources(self.objects, max(self.inputs), self.targets, size)
        measured = Measured(subject, sources, size, kinds, self.samples)
        run: dict[str, Callable[[], tuple[list[Record], list[Part]]]] = {
            "models": measured.models,
            "inputs": lambda: measured.inputs(self.inputs),
            "guidance": lambda: measured.guidance(self.guidance),
            "steps": lambda: measured.steps(self.steps),
            "cameras": lambda: measured.cameras(self.train_steps, self.train_objects),
        }
        content: list[Part] = [
            f"Views of {_named(sources)} at {size}×{size} pixels, over white, that are made "
            "from inputs from elsewhere and compared with the truth. Sharpness is the "
            "high-frequency energy of the images over that of the truth: 1 is as sharp, less "
            "is blurred."
        ]
        records: list[Record] = []
        for part in parts:
            found, shown = run[part]()
            records += [{"part": part, **record} for record in found]
            content += shown
        settings = {
            "data": subject.data or OBJECTS,
            "objects": len(sources),
            "views of each": len(sources[0].held_out),
            **{kind: str(getattr(subject, kind) or "of the package") for kind in kinds},
            "samples": self.samples,
            "seed": subject.seed,
        }
        if "cameras" in parts:
            settings |= {"training steps": self.train_steps, "trained on": self.train_objects}
        return Findings("Novel views", content, records, settings)


def _named(sources: list[ViewSource]) -> str:
    if len(sources) == 1:
        return sources[0].name
    return f"{len(sources)} procedural objects that no model was trained on"

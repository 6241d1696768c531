"""Study: ways to distill a scene from a few views: quality, diversity, the Janus problem.

The Janus problem (Poole et al., "DreamFusion", https://arxiv.org/abs/2209.14988): a distilled
object shows its front again at its back, as each view on its own is then a likely one. Measured
here by how much its view from behind is like the input, compared with how much the truth's is.
"""

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.fit import fit
from unrender.api.run import Run
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import psnr, ssim
from unrender.evaluation.renders import render_in_parts
from unrender.evaluation.view_consistency import scene_consistency, view_consistency
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.methods.presets.view_models import WEIGHTS, Kind
from unrender.ranges import Range, check_ranges
from unrender.rendering.renderer import supersampled
from unrender.report.findings import Findings, Part, Plot, Record, Strip, Table
from unrender.report.plots import draw_curves
from unrender.studies.distilled_objects import KnownObject, procedural, read_object
from unrender.studies.view_study import (
    ViewStudy,
    ViewSubject,
    chosen,
    on_white,
    pairwise_distance,
)
from unrender.training.data_kinds.few_views import cameras_around

VARIANTS: Mapping[str, tuple[Kind, Mapping[str, Any]]] = {
    "inputs alone": ("regression", {"input_share": 1.0, "last_input_share": 1.0}),
    "views of the regression": ("regression", {}),
    "views of the flow": ("flow", {}),
    "SDS": ("flow", {"guidance_mode": "sds"}),
    "SJC": ("flow", {"guidance_mode": "sjc"}),
    "SDS, anchors of the paper": ("flow", {"guidance_mode": "sds", "anchoring": "paper"}),
    "SDS, anchors of the code": ("flow", {"guidance_mode": "sds", "anchoring": "code"}),
}
"""The view model of each way, and options of `distilled`."""
SUPERSAMPLE = 2
BACK = 180.0
SHOWN = 8


@dataclass(frozen=True)
class Distillation(ViewStudy):
    """Scenes distilled from a few views in several ways, each with several seeds."""

    only: tuple[str, ...] = ()
    """Names of the ways to distill, such as 'SDS' or 'views of the regression'; by default
    all."""
    inputs: Annotated[int, Range(1, 1 << 16)] = 1
    """Input views; of a photograph there is one."""
    family: Literal["chair", "table", "lamp", "car"] = "chair"
    """What the procedural object is, where there is no --data."""
    number: Annotated[int, Range(0, 1 << 32)] = 0
    """Which of the held-out objects of that family."""
    seeds: Annotated[int, Range(1, 256)] = 3
    """Scenes that are distilled in each way, by different seeds."""
    fit_steps: Annotated[int, Range(1, 10**9)] = 400
    """Steps of each fit."""
    field: str = "instant-ngp-coarse"
    """The preset of the radiance field."""
    around: Annotated[int, Range(2, 1 << 12)] = 24
    """Cameras around the object, from which views are generated or rendered."""
    targets: Annotated[int, Range(1, 1 << 16)] = 12
    """Held-out views, at most."""
    frames: Annotated[int, Range(4, 1 << 12)] = 12
    """Views of the circle around the object."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def run(self, subject: ViewSubject) -> Findings:
        names = chosen(self.only, list(VARIANTS))
        kinds: list[Kind] = list(dict.fromkeys(VARIANTS[name][0] for name in names))
        # Opened before any work, so that missing weights are said at once.
        size = subject.size(kinds)
        known = self._object(subject, size)
        found: dict[str, list[_Scene]] = {}
        for name in names:
            subject.say(f"Distilling {known.data.name}: {name}")
            found[name] = [
                self._scene(subject, known, name, subject.seed + k) for k in range(self.seeds)
            ]
        ring = known.around(self.frames)
        truth = None if known.truth is None else on_white(known.truth(ring))
        own = _likeness(known, truth)
        records: list[Record] = [
            {"way": name, "seed": subject.seed + k, **scene.scores(own)}
            for name, scenes in found.items()
            for k, scene in enumerate(scenes)
        ]
        rows = [_summary(name, scenes, own) for name, scenes in found.items()]
        parts = [
            *self._quality(known, rows),
            *self._views(found),
            *self._diversity(found, truth, subject.seed),
            *self._janus(found, truth, own),
        ]
        settings = {
            "data": subject.data or f"{self.family} {self.number} of the held-out objects",
            "inputs": len(known.data.train),
            "held-out views": len(known.data.test),
            "image size": size,
            **{kind: str(getattr(subject, kind) or "of the package") for kind in kinds},
            "field": self.field,
            "steps": self.fit_steps,
            "cameras around": self.around,
            "seeds": self.seeds,
            "seed": subject.seed,
        }
        title = f"Distillation: {known.data.name}"
        return Findings(title, parts, records, settings)

    def _object(self, subject: ViewSubject, size: int) -> KnownObject:
        if subject.data is None:
            name = self.family, self.number
            return procedural(*name, self.inputs, self.targets, size)
        return read_object(subject.data, self.inputs, self.targets, size)

    def _scene(
        self, subject: ViewSubject, known: KnownObject, name: str, seed: int
    ) -> "_Scene":
        kind, options = VARIANTS[name]
        folder = getattr(subject, kind)
        if folder is None and kind == "flow" and "guidance_mode" not in options:
            folder = WEIGHTS / "view-flow.safetensors"  # The default is the regression.
        began = time.perf_counter()
        run = fit(
            "distilled",
            known.data,
            steps=self.fit_steps,
            seed=seed,
            device=subject.device,
            progress=False,
            field=self.field,
            around=self.around,
            view_model="" if folder is None else str(folder),
            **options,
        )
        seconds = time.perf_counter() - began
        fits_views = not {"guidance_mode", "input_share"} & options.keys()
        return _Scene.of(run, known, self.frames, self.around, fits_views, seconds)

    def _quality(self, known: KnownObject, rows: list[Record]) -> list[Part]:
        held_out = (
            f"PSNR is that of {len(known.data.test)} held-out views over white. "
            if len(known.data.test)
            else "There are no held-out views, and no PSNR. "
        )
        count = len(known.data.train)
        return [
            f"Scenes of one object, distilled from {count} view{'' if count == 1 else 's'} in "
            f"{self.fit_steps:,} steps each, means over {self.seeds} seeds. {held_out}"
            "Consistency is the PSNR between neighboring views, warped by the scene's depth: "
            "of its renderings, and of the generated views that it was fitted to. 'Inputs "
            "alone' is the same field without a view model's help.",
            Table(rows),
            Strip(
                "inputs",
                [("inputs", list(on_white(known.data.train.rgba)[:SHOWN]))],
                "What the scenes were distilled from.",
            ),
        ]

    def _views(self, found: Mapping[str, "list[_Scene]"]) -> list[Part]:
        """Generated views, and how the scene that was fitted to them shows the same."""
        rows: list[tuple[str, Tensor]] = []
        for name, (scene, *_) in found.items():
            if len(scene.views):
                some = evenly(min(SHOWN, len(scene.views)), len(scene.views))
                rows += [(name, scene.views[some]), ("their scene", scene.rendered[some])]
        if not rows:
            return []
        return [
            "## Generated views\n\nEach is made on its own, and they do not agree on one "
            "object; the scene that is fitted to them does.",
            Strip("generated", rows, "Generated views, and the scene from the same cameras."),
        ]

    def _diversity(
        self, found: Mapping[str, "list[_Scene]"], truth: Tensor | None, seed: int
    ) -> list[Part]:
        back = _index(BACK, self.frames)
        rows = [(name, [scene.ring[back] for scene in each]) for name, each in found.items()]
        if truth is not None:
            rows = [("truth", [truth[back]] * self.seeds), *rows]
        return [
            "## Diversity\n\nThe back, which no single input shows, by seed. Diversity in the "
            "table is the mean root mean square difference of these renderings between two "
            "seeds. A regression gives the same views to every seed, so that what is left is "
            "the field's own randomness; samples of a flow differ; score distillation seeks "
            "modes, and its scenes are known to be alike.",
            Strip(
                "back",
                rows,
                "Opposite the first input, by seed.",
                [f"seed {seed + k}" for k in range(self.seeds)],
            ),
        ]

    def _janus(
        self, found: Mapping[str, "list[_Scene]"], truth: Tensor | None, own: list[float]
    ) -> list[Part]:
        angles = [360 * k / self.frames for k in range(self.frames)]
        curves: dict[str, tuple[list[float], list[float]]] = {}
        rows: list[tuple[str, Tensor]] = []
        some = evenly(min(SHOWN, self.frames), self.frames)
        if truth is not None:
            curves["truth"] = (angles, own)
            rows.append(("truth", truth[some]))
        for name, scenes in found.items():
            means = [statistics.fmean(each) for each in zip(*_likenesses(scenes), strict=True)]
            curves[name] = (angles, means)
            rows.append((name, scenes[0].ring[some]))
        plot = draw_curves(curves, "degrees from the input", "SSIM with the input", marker="o")
        return [
            "## The Janus problem\n\nAn object that shows its front again at its back. The "
            "curve is the likeness (SSIM) of each view of a circle to the first input's image. "
            "An object may be like its own front from behind: so the measure, 'front at the "
            "back', is the scene's likeness at 180° less the truth's. Above 0 the scene's back "
            "is more like the front than it should be; blur alone also raises it a little, so "
            "look at the circles.",
            Plot("likeness", plot, "Likeness to the input all around, a mean over the seeds."),
            Strip(
                "circle",
                rows,
                "Once around, the first seed, from the input's camera on.",
                [f"{angles[k]:.0f}°" for k in some],
            ),
        ]


@dataclass(frozen=True)
class _Scene:
    """What is measured of one distilled scene."""

    ring: Float[Tensor, "frames height width 3"]
    """Renderings once around, over white."""
    likeness: list[float]
    """SSIM of each with the image of the first input."""
    psnr: float | None
    consistency: float | None
    generated_consistency: float | None
    views: Float[Tensor, "views height width 3"]
    """The generated views that it was fitted to; there may be none."""
    rendered: Float[Tensor, "views height width 3"]
    """The scene from the same cameras."""
    seconds: float

    @classmethod
    def of(
        cls,
        run: Run,
        known: KnownObject,
        frames: int,
        around: int,
        fits_views: bool,
        seconds: float,
    ) -> "_Scene":
        renderer = supersampled(run.renderer, SUPERSAMPLE)

        def images(cameras: Cameras) -> Tensor:
            return on_white(render_in_parts(renderer, cameras).rgba.cpu())

        ring, test = images(known.around(frames)), known.data.test
        score = None
        if len(test):
            score = float(psnr(images(test.cameras), on_white(test.rgba)).mean())
        generated = None
        # Of a distilled scene.
        model: Any = run.model
        views: Views = model.generated.to("cpu")
        if not fits_views:
            views = views[:0]
        else:
            generated = _agreement(lambda: scene_consistency(renderer, views)[1].psnr)
        cameras = cameras_around(known.data.train, around)
        rendering = render_in_parts(renderer, cameras)
        colors = on_white(rendering.rgba)
        how = rendering.depth, rendering.opacity, cameras
        own = _agreement(lambda: view_consistency(colors, *how).psnr)
        pair = on_white(views.rgba), images(views.cameras) if len(views) else ring[:0]
        return cls(ring, _likeness(known, ring), score, own, generated, *pair, seconds)

    def scores(self, own: list[float]) -> Record:
        """`own` is the likeness of the truth's views; empty if it is not known."""
        back = _index(BACK, len(self.ring))
        return {
            "PSNR, dB": self.psnr,
            "consistency, dB": self.consistency,
            "of generated views, dB": self.generated_consistency,
            "likeness of the back": self.likeness[back],
            "front at the back": self.likeness[back] - own[back] if own else None,
            "seconds": self.seconds,
        }


def _summary(name: str, scenes: list[_Scene], own: list[float]) -> Record:
    """Means over the seeds, and how much the backs differ."""
    each = [scene.scores(own) for scene in scenes]
    back = _index(BACK, len(scenes[0].ring))
    backs = torch.stack([scene.ring[back] for scene in scenes])
    return {
        "way": name,
        **{key: _mean([record[key] for record in each]) for key in each[0]},
        "diversity": pairwise_distance(backs) if len(scenes) > 1 else None,
    }


def _mean(values: list[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _agreement(measure: Any) -> float | None:
    """A consistency; None where no surface is seen twice, or images agree exactly."""
    try:
        value = float(measure())
    except InputError:
        return None
    return value if math.isfinite(value) else None


def _likeness(known: KnownObject, ring: Tensor | None) -> list[float]:
    if ring is None:
        return []
    front = on_white(known.data.train.rgba[:1])
    return ssim(ring, front.expand_as(ring)).tolist()


def _likenesses(scenes: list[_Scene]) -> list[list[float]]:
    return [scene.likeness for scene in scenes]


def _index(angle: float, frames: int) -> int:
    """The view of the circle nearest to this angle."""
    return round(angle * frames / 360) % frames

"""The parts of the study of novel views: measurements, and what its page shows of them."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.view_models import with_sampling
from unrender.api.view_sources import ViewSource
from unrender.data.view_sets.objects import ObjectStream
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.evaluation.novel_view_baselines import mean_input, nearest_inputs
from unrender.flows.view_transformer import CameraConditions
from unrender.methods.presets.view_models import Kind
from unrender.methods.view_regression import ViewRegression
from unrender.rendering.renderer import Images
from unrender.report.findings import Part, Plot, Record, Strip, Table
from unrender.report.plots import draw_curves
from unrender.studies.view_study import (
    Pictures,
    ViewSubject,
    on_white,
    pairwise_distance,
    view_scores,
)
from unrender.training.data_kinds.view_sets import OBJECTS, ViewSetDataset, ViewSetOptions
from unrender.training.method import Fitted
from unrender.training.view_generation import InputChoice, generate_views

NEAREST = "4 nearest"
RANDOM_STEPS = "random at each step"
WAYS: Mapping[str, tuple[InputChoice, int | None, bool]] = {
    NEAREST: ("nearest", 4, False),
    "1 nearest": ("nearest", 1, False),
    "1 nearest by rotation": ("nearest", 1, True),
    "1 random": ("random", 1, False),
    "all": ("all", None, False),
    RANDOM_STEPS: ("random", None, False),
}
"""How inputs are chosen: which, how many, and whether by rotation alone."""
WAYS_OF: Mapping[Kind, tuple[str, ...]] = {
    "regression": tuple(name for name in WAYS if name != RANDOM_STEPS),
    "flow": (NEAREST, "1 nearest", RANDOM_STEPS),
}
"""Those of each model: a flow is slow, and alone draws another input at each step."""
SMALL = ViewRegression(width=96, heads=3, encoder_depth=2, depth=3, batch=16)
"""The regression that is trained once for each way to tell cameras."""
TRAIN_VIEWS = 6
"""Views of each object that these are trained on."""
SHOWN = 8
CAPTIONS = {
    "sharpness": "High-frequency energy over that of the truth: 1 is as sharp.",
    "diversity": "How much two samples of a view differ.",
}
Make = Callable[[Views, Views], Images]
"""Images of the targets' cameras, given inputs."""


@dataclass(frozen=True)
class Measured:
    """The parts of the study, each as records and what the page shows of them."""

    subject: ViewSubject
    sources: list[ViewSource]
    size: int
    """Pixels per side of the images."""
    kinds: list[Kind]
    """The view models that are measured."""
    count: int
    """Samples of a flow."""

    @property
    def truth(self) -> list[Float[Tensor, "targets height width 3"]]:
        return [on_white(source.truth(self.size).rgba) for source in self.sources]

    def made(self, count: int, make: Make) -> tuple[Pictures, dict[str, float]]:
        """The views of all objects from `count` inputs each, and their scores."""
        began = time.perf_counter()
        images: list[Tensor] = []
        for source in self.sources:
            inputs = source.inputs(self.size, count, self.subject.seed)
            images.append(on_white(make(inputs, source.truth(self.size))))
        seconds = (time.perf_counter() - began) / sum(map(len, images))
        return images, {**view_scores(images, self.truth), "seconds a view": seconds}

    def by_model(self, fitted: Fitted[Any], way: str = NEAREST) -> Make:
        choice, count, rotation_only = WAYS[way]

        def make(inputs: Views, truth: Views) -> Images:
            some = None if count is None else min(count, len(inputs))
            how = choice, some, rotation_only, self.subject.seed
            return generate_views(fitted, inputs, truth.cameras, *how)

        return make

    def sampled(self, fitted: Fitted[Any]) -> Float[Tensor, "samples objects targets _ _ 3"]:
        """Samples of a flow of all views, from one input."""
        generator = torch.Generator().manual_seed(self.subject.seed)
        found: list[Tensor] = []
        for source in self.sources:
            inputs = source.inputs(self.size, 1, self.subject.seed)
            cameras = source.truth(self.size).cameras
            # All views of a call are one sample.
            samples = [
                on_white(fitted.novel_views(inputs, cameras, generator))
                for _ in range(self.count)
            ]
            found.append(torch.stack(samples))
        return torch.stack(found, dim=1)

    def sample_scores(self, fitted: Fitted[Any]) -> tuple[Tensor, dict[str, float]]:
        """Samples of a flow, and their scores: of one sample, and of the best one."""
        began = time.perf_counter()
        samples = self.sampled(fitted)
        seconds = (time.perf_counter() - began) / samples[..., 0, 0, 0].numel()
        truth = torch.stack(self.truth)
        each = psnr(samples, truth.expand_as(samples))
        one = view_scores(list(samples.flatten(0, 1)), self.truth * len(samples))
        best = each.mean(2).amax(0).mean()
        apart = torch.tensor([pairwise_distance(samples[:, k]) for k in range(len(truth))])
        return samples, {
            **one,
            f"best of {len(samples)}, dB": float(best),
            "diversity": float(apart.mean()),
            "seconds a view": seconds,
        }

    def models(self) -> tuple[list[Record], list[Part]]:
        """Regression or flow, from one input, beside a copy and the mean image."""
        shown = list(range(min(SHOWN, len(self.sources))))

        def column(images: Pictures) -> list[Tensor]:
            return [images[k][0] for k in shown]

        inputs = [each.inputs(self.size, 1, self.subject.seed) for each in self.sources]
        rows = [("input", column([on_white(each.rgba) for each in inputs]))]
        rows.append(("truth", column(self.truth)))
        records: list[Record] = []
        copies = [each.expand_as(t) for each, t in zip(_white(inputs), self.truth, strict=True)]
        records.append({"model": "copy of the input", **view_scores(copies, self.truth)})
        mean = torch.cat(self.truth).mean(0)
        means = [mean.expand_as(each) for each in self.truth]
        records.append({"model": "mean image", **view_scores(means, self.truth)})
        if "regression" in self.kinds:
            images, scores = self.made(1, self.by_model(self.subject.model("regression")))
            records.append({"model": "regression", **scores})
            rows.append(("regression", column(images)))
        if "flow" in self.kinds:
            samples, scores = self.sample_scores(self.subject.model("flow"))
            records.append({"model": "flow, one sample", **scores})
            average = list(samples.mean(0))
            name = f"flow, mean of {len(samples)}"
            records.append({"model": name, **view_scores(average, self.truth)})
            rows += [
                (f"flow, sample {k + 1}", column(list(samples[k]))) for k in range(len(samples))
            ]
            rows.append((name, column(average)))
        text = (
            "## Regression or flow\n\nFrom one input. The regression's view is the mean of "
            "what the input leaves open, and blurred where that is much; a flow samples one of "
            "what it may be, sharp, and for that reason farther from the truth in PSNR. The "
            "mean of many samples is again the expected view. Diversity is the root mean "
            "square difference between two samples. The mean image is that of all true views."
        )
        caption = "One view of each object: the input, the truth, and what models make of it."
        return records, [text, Table(_filled(records)), Strip("models", rows, caption)]

    def inputs(self, wanted: Sequence[int]) -> tuple[list[Record], list[Part]]:
        """N inputs, and how those of each view are chosen."""
        most = min(len(source.known) for source in self.sources)
        counts = sorted({count for count in wanted if 1 <= count <= most})
        if not counts:
            raise InputError(
                f"--inputs {min(wanted)}: {self.sources[0].name} has {most} views to "
                f"make others from: give 1 to {most}"
            )
        shown = list(range(min(SHOWN, len(self.sources))))
        records: list[Record] = []
        rows = [("truth", [self.truth[k][0] for k in shown])]
        for count in counts:
            ways: dict[tuple[str, str], Make] = {
                ("copy", "1 nearest"): lambda i, t: nearest_inputs(i, t.cameras, _center(i)),
                ("copy", "1 nearest by rotation"): lambda i, t: nearest_inputs(
                    i, t.cameras, _center(i), rotation_only=True
                ),
                ("mean of the inputs", "all"): lambda i, t: mean_input(i, t.cameras),
            }
            for kind in self.kinds:
                for way in WAYS_OF[kind]:
                    ways[kind, way] = self.by_model(self.subject.model(kind), way)
            self.subject.say(f"Making views from {count} input{'' if count == 1 else 's'}")
            for (model, way), make in ways.items():
                images, scores = self.made(count, make)
                records.append({"model": model, "choice": way, "inputs": count, **scores})
                if (model, way) in ((self.kinds[0], NEAREST), ("copy", "1 nearest")):
                    label = f"{model}, {count} input{'' if count == 1 else 's'}"
                    rows.append((label, [images[k][0] for k in shown]))
        text = (
            "## N inputs, and their choice\n\nInputs are spread evenly, and those of a smaller "
            "N are among those of a larger one. Each view is made from a choice of them: the "
            "nearest by position and rotation or by rotation alone, random ones, or all. With "
            "one input all choices are the same. Cameras that look at the object are ordered "
            "nearly alike by rotation alone; it differs where they stand at several distances "
            "or look past one another. A copy of the nearest input and the mean of the inputs "
            "are what a model has to surpass."
        )
        plots: list[Part] = []
        for kind in self.kinds:
            curves = {way: _curve(records, kind, way) for way in WAYS_OF[kind]}
            curves["copy of the nearest"] = _curve(records, "copy", "1 nearest")
            plot = draw_curves(curves, "inputs", "PSNR (dB)", log_x=True, marker="o")
            plots.append(Plot(f"inputs-{kind}", plot, f"The {kind}, by its choice of inputs."))
        return records, [
            text,
            Table(records),
            *plots,
            Strip("inputs-images", rows, "One view of each object, by the number of inputs."),
        ]

    def guidance(self, scales: Sequence[float]) -> tuple[list[Record], list[Part]]:
        """Scales of classifier-free guidance of the flow."""
        text = (
            "## Guidance\n\nThe scale of classifier-free guidance, from one input: 1 is none. "
            "More of it is expected to make samples agree with the input and with one another, "
            "which lowers their diversity and what the best of several gains."
        )
        values = {
            scale: with_sampling(self.subject.model("flow"), guidance=scale) for scale in scales
        }
        return self._by_option("guidance", values, text)

    def steps(self, counts: Sequence[int]) -> tuple[list[Record], list[Part]]:
        """Numbers of integration steps of the flow."""
        text = (
            "## Sampling steps\n\nOf the flow, from one input. Time is proportional to them. "
            "Few steps leave noise: the estimate from noise alone (t = 0) is hardly trained, "
            "as training draws such times rarely, and more steps correct it."
        )
        values = {
            float(count): with_sampling(self.subject.model("flow"), steps=count)
            for count in counts
        }
        return self._by_option("steps", values, text)

    def _by_option(
        self, name: str, values: Mapping[float, Fitted[Any]], text: str
    ) -> tuple[list[Record], list[Part]]:
        if not values:
            return [], []
        shown = list(range(min(SHOWN, len(self.sources))))
        rows = [("truth", [self.truth[k][0] for k in shown])]
        records: list[Record] = []
        for value, fitted in values.items():
            samples, scores = self.sample_scores(fitted)
            records.append({name: value, **scores})
            rows.append((f"{name} {value:g}", [samples[0, k, 0] for k in shown]))
        xs = list(values)
        scores = {key: [float(str(r[key])) for r in records] for key in list(records[0])[1:]}
        best = f"best of {self.count}, dB"
        curves = {"one sample": (xs, scores["PSNR, dB"]), best[:-4]: (xs, scores[best])}
        plot = draw_curves(curves, name, "PSNR (dB)", log_x=True, marker="o")
        others: list[Part] = []
        for key, axis in (("sharpness", "sharpness"), ("diversity", "difference (RMS)")):
            drawn = draw_curves({key: (xs, scores[key])}, name, axis, log_x=True, marker="o")
            others.append(Plot(f"{name}-{key}", drawn, CAPTIONS[key]))
        return records, [
            text,
            Table(records),
            Plot(name, plot, "PSNR of one sample, and of the best of several."),
            *others,
            Strip(f"{name}-images", rows, "A sample of one view of each object."),
        ]

    def cameras(self, steps: int, objects: int) -> tuple[list[Record], list[Part]]:
        """Ways to tell a model its cameras: a small regression is trained for each."""
        options = ViewSetOptions(
            image_size=self.size, pool_size=objects, fresh=0, views=TRAIN_VIEWS
        )
        # The objects stay the same, and are rendered once for all models.
        stream = ObjectStream((), options.pool_size, 0, TRAIN_VIEWS, self.size)
        data = ViewSetDataset(OBJECTS, stream, lambda: stream.held_out(1), options, OBJECTS)
        most = min(len(source.known) for source in self.sources)
        shown = list(range(min(SHOWN, len(self.sources))))
        rows = [("truth", [self.truth[k][0] for k in shown])]
        records: list[Record] = []
        curves: dict[str, tuple[list[int], list[float]]] = {}
        parameters = 0
        for cameras in get_args(CameraConditions):
            method = dataclasses.replace(SMALL, cameras=cameras)
            run = self.subject.trained(f"cameras-{cameras}", method, data, steps)
            curves[cameras] = (
                [int(entry["step"]) for entry in run.metrics],
                [entry["psnr"] for entry in run.metrics],
            )
            # Half of them are the moving average of the others.
            parameters = run.fitted.num_parameters // 2
            for count in (1, 3):
                if count > most:
                    continue
                images, scores = self.made(count, self.by_model(run.fitted))
                records.append({"cameras": cameras, "inputs": count, **scores})
                if count == 1:
                    rows.append((cameras, [images[k][0] for k in shown]))
        plot = draw_curves(curves, "training steps", "PSNR (dB)")
        text = (
            "## Cameras as conditions\n\nThe same small regression "
            f"({parameters:,} parameters), trained from scratch "
            f"for {steps:,} steps on {objects:,} procedural objects, once for "
            "each way to tell it the cameras: zero123's 3DoF, ZeroNVS's 6DoF+1, Plücker "
            "coordinates of every ray, PRoPE's relative encoding in attention, and both of the "
            "last two. So few steps show which way is learned first, not which is best in the "
            "end."
        )
        return records, [
            text,
            Table(records),
            Plot(
                "cameras-curves", plot, "While it was trained: PSNR of the views of each step."
            ),
            Strip("cameras", rows, "From one input, by how cameras are told."),
        ]


def _white(inputs: list[Views]) -> list[Float[Tensor, "1 height width 3"]]:
    return [on_white(each.rgba) for each in inputs]


def _center(inputs: Views) -> Float[Tensor, "3"]:
    assert inputs.ball is not None, "inputs have a ball"
    return inputs.ball[:3]


def _curve(records: list[Record], model: object, way: object) -> tuple[list[int], list[float]]:
    rows = [r for r in records if (r["model"], r["choice"]) == (model, way)]
    return (
        [int(str(r["inputs"])) for r in rows],
        [float(str(r["PSNR, dB"])) for r in rows],
    )


def _filled(records: list[Record]) -> list[Record]:
    """Records with the keys of all, in one order."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    return [{key: record.get(key) for key in keys} for record in records]

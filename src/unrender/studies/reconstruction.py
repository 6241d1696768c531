"""How good images are that the flow makes of poses."""

import dataclasses
from dataclasses import dataclass

import torch

from unrender.api.run import Run
from unrender.evaluation.images import score_images
from unrender.evaluation.lookup import nearest_view_renderer
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.methods.sit import PoseFlow, SiTFlow
from unrender.rendering.renderer import Renderer
from unrender.report.pictures import Row, evenly
from unrender.report.plots import draw_curves
from unrender.studies.findings import Findings, Part, Plot, Record, Strip, Table
from unrender.studies.study import Study, Subject, over_white
from unrender.training.fit import FitOptions


@dataclass(frozen=True)
class Quality:
    """How near images come to what they should be: the mean over views."""

    psnr_truth: float
    """Against the photographs, in dB."""
    ssim_truth: float
    psnr_scene: float
    """Against the fitted scene's renders, in dB."""
    ssim_scene: float

    def record(self) -> Record:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Reconstruction(Study):
    """PSNR and SSIM of the flow's images, by steps and by the number of training views."""

    steps: tuple[int, ...] = (1, 2, 4, 8, 20, 50)
    """Steps from a pose to its image."""
    views: tuple[int, ...] = (100, 300, 1000, 4000)
    """Numbers of training views; each trains a flow anew. Empty: none does."""
    minutes: float = 3.0
    """Training of each of these flows."""

    def run(self, subject: Subject) -> Findings:
        by_steps = {start: self._by_steps(subject, start) for start in ("mean", "sampled")}
        by_views, pictures = self._by_views(subject)
        mean = by_steps["mean"]
        least = min(
            n for n, q in mean.items() if q.psnr_truth >= mean[self.steps[-1]].psnr_truth - 0.1
        )
        ceiling = _quality(subject.scene_renderer, subject)
        records: list[Record] = [
            {"start": start, "steps": steps, **quality.record()}
            for start, found in by_steps.items()
            for steps, quality in found.items()
        ]
        parts: list[Part] = [
            f"Images that the flow makes of {len(subject.test)} held-out poses, over white, at "
            f"{subject.size}×{subject.size} pixels, against the photographs (the truth) and "
            "against the fitted scene's renders, which the flow learned from. From the pose "
            f"itself (mean start) in {self.steps[0]} step it reaches "
            f"**{mean[self.steps[0]].psnr_truth:.2f} dB**; the "
            f"scene's own renders reach {ceiling.psnr_truth:.2f} dB, which is the ceiling. "
            f"{least} {'step is' if least == 1 else 'steps are'} within 0.1 dB of "
            f"{self.steps[-1]}.",
            Table(records),
            Plot(
                "steps",
                draw_curves(
                    {
                        f"{start} start": (list(found), [q.psnr_truth for q in found.values()])
                        for start, found in by_steps.items()
                    },
                    "Euler steps",
                    "PSNR against the truth (dB)",
                    log_x=True,
                    marker="o",
                ),
                "From the pose itself, and from the pose under the noise of training, which "
                "hides it in part.",
            ),
            Strip(
                "images",
                [
                    ("photograph", over_white(subject.test)[self._shown(subject)]),
                    ("scene", over_white(subject.rendered_test)[self._shown(subject)]),
                    ("flow, 1 step", self._images(subject, subject.flow)),
                    *pictures,
                ],
                "Held-out views.",
            ),
        ]
        rows: list[Record] = [
            {"training_views": count, **quality.record(), "psnr_nearest_view": nearest}
            for count, (quality, nearest) in by_views.items()
        ]
        if rows:
            counts, found = list(by_views), list(by_views.values())
            curves = {
                "flow": (counts, [quality.psnr_truth for quality, _ in found]),
                "nearest view": (counts, [nearest for _, nearest in found]),
            }
            label = "PSNR against the truth (dB)"
            parts += [
                f"By the number of training views, each flow trained for {self.minutes:g} "
                "minutes. Looking up the nearest training view is what it has to beat.",
                Table(rows),
                Plot(
                    "views",
                    draw_curves(curves, "training views", label, log_x=True, marker="o"),
                    "More views help until the time to learn from them runs out.",
                ),
            ]
        settings = {"views": len(subject.test), "minutes a flow": self.minutes}
        title = f"Reconstruction: {subject.name}"
        return Findings(title, parts, [*records, *rows], settings)

    def _by_steps(self, subject: Subject, start: str) -> dict[int, Quality]:
        found: dict[int, Quality] = {}
        for steps in self.steps:
            flow = subject.with_options(image_steps=steps)
            renderer = flow.renderer if start == "mean" else sampled(flow, subject.seed)
            found[steps] = _quality(renderer, subject)
        return found

    def _by_views(self, subject: Subject) -> tuple[dict[int, tuple[Quality, float]], list[Row]]:
        """Of each number: the flow, and the nearest training view's PSNR."""
        found: dict[int, tuple[Quality, float]] = {}
        pictures: list[Row] = []
        if not self.views:
            return found, pictures
        everything = subject.render(subject.shell(max(self.views), subject.seed + 1))
        for count in self.views:
            data = everything.select(torch.arange(count))
            options = FitOptions(minutes=self.minutes, seed=subject.seed)
            flow = subject.trained(f"views-{count}", subject.method, data, options)
            nearest = _quality(nearest_view_renderer(data), subject)
            found[count] = _quality(flow.renderer, subject), nearest.psnr_truth
            if count == min(self.views):
                pictures.append((f"flow of\n{count} views", self._images(subject, flow)))
        return found, pictures

    def _shown(self, subject: Subject) -> list[int]:
        return evenly(8, len(subject.test))

    def _images(self, subject: Subject, flow: Run) -> torch.Tensor:
        cameras = subject.test.cameras.select(torch.tensor(self._shown(subject)))
        return render_in_parts(flow.renderer, cameras).over(WHITE).clamp(0, 1)


def sampled(flow: Run, seed: int) -> Renderer:
    """The flow from sampled starts."""
    method, model = flow.method, flow.model
    assert isinstance(method, SiTFlow)
    assert isinstance(model, PoseFlow)
    generator = torch.Generator().manual_seed(seed)
    return lambda cameras: method.render_sampled(model, cameras.to(flow.device), generator).to(
        cameras.device
    )


def _quality(renderer: Renderer, subject: Subject) -> Quality:
    made = render_in_parts(renderer, subject.test.cameras).over(WHITE).clamp(0, 1)
    truth, scene = (
        score_images(made, over_white(views)) for views in (subject.test, subject.rendered_test)
    )
    return Quality(truth.mean_psnr, truth.mean_ssim, scene.mean_psnr, scene.mean_ssim)

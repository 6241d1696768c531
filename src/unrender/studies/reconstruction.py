"""Study: quality of the images that the flow generates from poses."""

from dataclasses import dataclass

import torch

from unrender.api.run import Run
from unrender.evaluation.images import score_images
from unrender.evaluation.lookup import nearest_view_renderer
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.geometry.paths import evenly
from unrender.methods.sit import PoseFlow, SiTFlow
from unrender.rendering.renderer import Renderer
from unrender.report.findings import Findings, Part, Plot, Record, Strip, Table
from unrender.report.pictures import Row
from unrender.report.plots import draw_curves
from unrender.studies.study import Study, Subject, over_white
from unrender.training.fit import FitOptions


@dataclass(frozen=True)
class Quality:
    """Mean image quality over the views."""

    psnr_truth: float
    """PSNR against the held-out images, in dB."""
    ssim_truth: float
    psnr_scene: float
    """PSNR against the fitted scene's renders, in dB."""
    ssim_scene: float

    def record(self) -> Record:
        return {
            "PSNR, dB": self.psnr_truth,
            "SSIM": self.ssim_truth,
            "PSNR vs. scene, dB": self.psnr_scene,
            "SSIM vs. scene": self.ssim_scene,
        }


@dataclass(frozen=True)
class Reconstruction(Study):
    """PSNR and SSIM of the flow's images, by steps and by the number of training views."""

    steps: tuple[int, ...] = (1, 2, 4, 8, 20, 50)
    """Numbers of Euler steps from a pose to its image."""
    views: tuple[int, ...] = (100, 300, 1000, 4000)
    """Numbers of training views; a new flow is trained for each. Empty: no flow is trained."""
    minutes: float = 3.0
    """Training time of each of these flows, in minutes."""

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
            f"Images that the flow generates from {len(subject.test)} held-out poses, over "
            f"white, at {subject.size}×{subject.size} pixels, against the held-out images "
            "(ground truth) and against renders of the fitted scene, on which the flow was "
            f"trained. From the pose itself (mean start), {self.steps[0]} step reaches "
            f"**{mean[self.steps[0]].psnr_truth:.2f} dB**; renders of the scene reach "
            f"{ceiling.psnr_truth:.2f} dB, which is the upper limit. "
            f"{least} {'step is' if least == 1 else 'steps are'} within 0.1 dB of "
            f"{self.steps[-1]} steps.",
            Table(records),
            Plot(
                "steps",
                draw_curves(
                    {
                        f"{start} start": (list(found), [q.psnr_truth for q in found.values()])
                        for start, found in by_steps.items()
                    },
                    "Euler steps",
                    "PSNR vs. ground truth (dB)",
                    log_x=True,
                    marker="o",
                ),
                "Starting from the pose itself (mean start), and from the pose with the noise "
                "of training, which partly hides it (sampled start).",
            ),
            Strip(
                "images",
                [
                    ("ground truth", over_white(subject.test)[self._shown(subject)]),
                    ("scene", over_white(subject.rendered_test)[self._shown(subject)]),
                    ("flow, 1 step", self._images(subject, subject.flow)),
                    *pictures,
                ],
                "Held-out images, and the images of their poses by the scene and by the flow.",
            ),
        ]
        rows: list[Record] = [
            {"training views": count, **quality.record(), "nearest view, PSNR, dB": nearest}
            for count, (quality, nearest) in by_views.items()
        ]
        if rows:
            counts, found = list(by_views), list(by_views.values())
            curves = {
                "flow": (counts, [quality.psnr_truth for quality, _ in found]),
                "nearest view": (counts, [nearest for _, nearest in found]),
            }
            label = "PSNR vs. ground truth (dB)"
            parts += [
                f"By number of training views, each flow trained for {self.minutes:g} "
                "minutes. Baseline: the training view with the nearest pose.",
                Table(rows),
                Plot(
                    "views",
                    draw_curves(curves, "training views", label, log_x=True, marker="o"),
                    "More views help as long as the training time suffices to learn them.",
                ),
            ]
        settings = {"views": len(subject.test), "minutes per flow": self.minutes}
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
        """Quality of the flow and PSNR of the nearest view, for each number of views."""
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
                pictures.append(
                    (f"flow trained on\n{count} views", self._images(subject, flow))
                )
        return found, pictures

    def _shown(self, subject: Subject) -> list[int]:
        return evenly(8, len(subject.test))

    def _images(self, subject: Subject, flow: Run) -> torch.Tensor:
        cameras = subject.test.cameras.select(torch.tensor(self._shown(subject)))
        return render_in_parts(flow.renderer, cameras).over(WHITE).clamp(0, 1)


def sampled(flow: Run, seed: int) -> Renderer:
    """Renderer of the flow with noise at the source (sampled start)."""
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

"""How the flow is inverted, and how sure it may be of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unrender.api.tasks import refine_on_scene
from unrender.evaluation.detection import risk_coverage
from unrender.evaluation.poses import PoseScores, rank_correlation, score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.flows.checks import small_squares
from unrender.flows.pose_flow import PoseFlow
from unrender.flows.solvers import SOLVERS, integrate_adaptively, invert_euler
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_log
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.rendering.renderer import PoseEstimate, Renderer
from unrender.report.pictures import Row, evenly
from unrender.report.plots import draw_curves, draw_histogram, draw_scatter
from unrender.studies.findings import Findings, Plot, Record, Strip, Table
from unrender.studies.study import Study, Subject, over_white

READING = "one backward step"
"""Among the solvers it is Euler's method with one step."""
REGIONS = {50: 2.366, 90: 6.251}
"""Of how many percent, and the square of its radius: quantiles of chi-squared of 3 degrees."""


@dataclass(frozen=True)
class EstimatorResult:
    """Poses estimated by one estimator, their errors, and the time it took."""

    estimate: PoseEstimate
    scores: PoseScores
    seconds: float
    """A view."""

    def row(self, name: str) -> Record:
        return {
            "estimator": name,
            "median, degrees": self.scores.rotation_deg_median,
            "mean, degrees": self.scores.rotation_deg_mean,
            "under 5°": self.scores.under_5deg,
            "median, % of the radius": self.scores.translation_percent_median,
            "seconds a view": self.seconds,
        }


@dataclass(frozen=True)
class Inversion(Study):
    """Pose errors by estimator, solver and steps, and what they are expected to be."""

    steps: tuple[int, ...] = (1, 2, 5, 20, 50, 200)
    """Steps backwards from the image to the source."""
    other_steps: tuple[int, ...] = (1, 2, 5, 20)
    """The same for the solvers of higher order."""
    refine: bool = True
    """Whether to refine on the scene, too."""
    shown: int = 6
    """Views of the pictures."""

    def run(self, subject: Subject) -> Findings:
        backward = {
            solver: {
                steps: self._timed(
                    subject,
                    subject.with_options(
                        refine_steps=0, inversion_steps=steps, solver=solver
                    ).estimate_poses,
                )
                for steps in (self.steps if solver == "euler" else self.other_steps)
            }
            for solver in SOLVERS
        }
        read = backward["euler"][self.steps[0]]
        mode = self._timed(subject, subject.flow.estimate_poses)
        named = {
            READING: read,
            "dopri5, backward": self._timed(
                subject,
                lambda images: _by_source(
                    subject, images, lambda m, x1: integrate_adaptively(m.average, x1, 1.0, 0.0)
                ),
            ),
            "inverse of 4 Euler steps": self._timed(
                subject,
                lambda images: _by_source(
                    subject, images, lambda m, x1: invert_euler(m.average, x1, 4, iterations=20)
                ),
            ),
            "nearest candidate": self._timed(
                subject, lambda images: _candidate(subject, images)
            ),
            "energy's mode": mode,
        }
        if self.refine:
            named["refined from one step"] = self._refined(subject, read)
            named["refined from the energy's mode"] = self._refined(subject, mode)
        shown = {name: named[name] for name in named if name not in _UNCALIBRATED}
        rows = [
            *(
                found.row(f"{solver}, {steps} {'step' if steps == 1 else 'steps'}")
                for solver, many in backward.items()
                for steps, found in many.items()
            ),
            *(found.row(name) for name, found in named.items() if name != READING),
        ]
        last = list(named)[-1]
        return Findings(
            f"Inversion: {subject.name}",
            [
                f"The poses of {len(subject.test)} held-out photographs, each by itself, "
                "against the true ones. One step back from the image reads the pose, since at "
                "t = 1 the best velocity is the image less the mean of all sources that lead "
                "there; the pose whose image the flow would make (the energy's mode) is "
                f"nearer: **{mode.scores.rotation_deg_median:.2f}°** after "
                f"{read.scores.rotation_deg_median:.2f}°; {last}: "
                f"{named[last].scores.rotation_deg_median:.3f}°.",
                Strip(
                    "images",
                    self._pictures(subject, named),
                    "Image to pose to image: held-out photographs, and what the flow and the "
                    "scene make of the poses that were found.",
                ),
                Table(rows),
                Plot(
                    "steps",
                    draw_curves(
                        {
                            solver: (
                                list(many),
                                [f.scores.rotation_deg_median for f in many.values()],
                            )
                            for solver, many in backward.items()
                        },
                        "steps from the image back to the source",
                        "median rotation error (degrees)",
                        log_x=True,
                        marker="o",
                    ),
                    "Many small steps follow a path without noise, which training seldom "
                    "showed, and drift from it.",
                ),
                Plot(
                    "histogram",
                    draw_histogram(
                        {name: f.scores.rotation_deg.tolist() for name, f in shown.items()},
                        "rotation error (degrees)",
                    ),
                    "Errors of single views.",
                ),
                "Each estimate comes with the error that it is expected to have about each "
                "axis. Where these are right, a region of 50% holds the truth for half of the "
                "views, and errors fall when the estimates that are least sure are left out.",
                Table([_honesty(name, f, subject.test.cameras) for name, f in shown.items()]),
                Plot(
                    "risk",
                    draw_curves(
                        {name: _risk(f) for name, f in shown.items()},
                        "share of the views kept, the surest first",
                        "mean rotation error (degrees)",
                        log_y=True,
                    ),
                    "Risk against coverage: rising curves know their errors.",
                ),
                Plot(
                    "expected",
                    draw_scatter(
                        {
                            name: (
                                f.estimate.rotation_error.rad2deg().tolist(),
                                f.scores.rotation_deg.tolist(),
                            )
                            for name, f in shown.items()
                        },
                        "expected rotation error (degrees)",
                        "actual rotation error (degrees)",
                        "as expected",
                    ),
                    "Single views.",
                ),
            ],
            [
                {
                    "estimator": name,
                    "view": view,
                    "rotation_deg": rotation,
                    "translation_percent": translation,
                    "expected_rotation_deg": expected,
                }
                for name, found in {
                    **{
                        f"{solver}-{steps}": f
                        for solver, many in backward.items()
                        for steps, f in many.items()
                    },
                    **{name: f for name, f in named.items() if name != READING},
                }.items()
                for view, (rotation, translation, expected) in enumerate(
                    zip(
                        found.scores.rotation_deg.tolist(),
                        found.scores.translation_percent.tolist(),
                        found.estimate.rotation_error.rad2deg().tolist(),
                        strict=True,
                    )
                )
            ],
            {"views": len(subject.test)},
        )

    def _pictures(self, subject: Subject, found: dict[str, EstimatorResult]) -> list[Row]:
        chosen = evenly(self.shown, len(subject.test))
        index = torch.tensor(chosen)
        rough = found["energy's mode"].estimate.cameras.select(index)
        rows: list[Row] = [
            ("photograph\n(never seen)", over_white(subject.views.test)[chosen]),
            (
                "flow at the\npose it found",
                _images(subject.flow.renderer, rough.resized(subject.size, subject.size)),
            ),
        ]
        if self.refine:
            fine = list(found.values())[-1].estimate.cameras.select(index)
            rows.append(("scene at the\nrefined pose", _images(subject.scene.renderer, fine)))
        return rows

    def _timed(
        self, subject: Subject, estimator: Callable[[Tensor], PoseEstimate]
    ) -> EstimatorResult:
        images = subject.views.test.rgba
        began = time.perf_counter()
        found = estimator(images)
        seconds = (time.perf_counter() - began) / len(images)
        return EstimatorResult(found, score_poses(found.cameras, subject.test.cameras), seconds)

    def _refined(self, subject: Subject, start: EstimatorResult) -> EstimatorResult:
        test = subject.views.test
        began = time.perf_counter()
        found = refine_on_scene(
            subject.scene, test.opaque, start.estimate, RenderAndCompare(), test.background
        )
        seconds = start.seconds + (time.perf_counter() - began) / len(test)
        return EstimatorResult(found, score_poses(found.cameras, test.cameras), seconds)


def _images(renderer: Renderer, cameras: Cameras) -> Tensor:
    return render_in_parts(renderer, cameras).over(WHITE).clamp(0, 1)


_UNCALIBRATED = ("dopri5, backward", "inverse of 4 Euler steps", "nearest candidate")
"""Estimators that do not know their errors."""


def _unknown(cameras: Cameras) -> PoseEstimate:
    """Poses of whose errors nothing is known."""
    nothing = torch.full((len(cameras),), torch.nan)
    return PoseEstimate.isotropic(cameras, nothing, nothing)


def _by_source(
    subject: Subject, images: Tensor, source: Callable[[PoseFlow, Tensor], Tensor]
) -> PoseEstimate:
    """The poses of the sources that a solver finds of the images' ends."""
    model = subject.model
    with torch.no_grad():
        poses = model.unlift(source(model, _ends(subject, images))).world_from_camera
    return _unknown(model.cameras(poses).to("cpu"))


def _candidate(subject: Subject, images: Tensor) -> PoseEstimate:
    """The training poses whose images by the flow are nearest."""
    model, search = subject.model, subject.method.search
    poses = search.nearest_candidates(model, _ends(subject, images))
    return _unknown(model.cameras(poses).to("cpu"))


def _ends(subject: Subject, images: Tensor) -> Tensor:
    """The images where the flow ends, on its device."""
    small = small_squares(subject.model, images)
    return subject.model.flow_from_images(small.to(subject.flow.device))


def _honesty(name: str, found: EstimatorResult, truth: Cameras) -> Record:
    """Shares of the views whose true rotation lies in the regions that the estimate names."""
    poses = found.estimate.cameras.rotations
    error = so3_log(poses.mT @ truth.rotations)
    square = (error / found.estimate.axis_errors).square().sum(1)
    expected = found.estimate.rotation_error.rad2deg()
    return {
        "estimator": name,
        **{
            f"in the {percent}% region": (square <= bound).float().mean().item()
            for percent, bound in REGIONS.items()
        },
        "median expected, degrees": expected.quantile(0.5).item(),
        "median actual, degrees": found.scores.rotation_deg_median,
        "rank correlation": rank_correlation(expected, found.scores.rotation_deg),
    }


def _risk(found: EstimatorResult) -> tuple[list[float], list[float]]:
    risk = risk_coverage(found.estimate.rotation_error.cpu(), found.scores.rotation_deg)
    return [(n + 1) / len(risk) for n in range(len(risk))], risk.tolist()

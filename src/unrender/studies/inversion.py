"""Study: pose estimation by inversion of the flow, and calibration of its predicted errors."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unrender.api.pose import refine
from unrender.evaluation.detection import risk_coverage
from unrender.evaluation.poses import PoseScores, rank_correlation, score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.flows.checks import small_squares
from unrender.flows.pose_flow import PoseFlow
from unrender.flows.solvers import SOLVERS, integrate_adaptively, invert_euler
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.geometry.poses import so3_log
from unrender.rendering.renderer import PoseEstimate, Renderer
from unrender.report.findings import Findings, Plot, Record, Strip, Table
from unrender.report.pictures import Row
from unrender.report.plots import draw_curves, draw_histogram, draw_scatter
from unrender.studies.study import Study, Subject, over_white

READING = "one backward step"
"""Euler's method with one step."""
REGIONS = {50: 2.366, 90: 6.251}
"""Squared radius of the confidence region of each percentage: quantiles of χ² with 3 degrees of
freedom."""


@dataclass(frozen=True)
class EstimatorResult:
    """Poses of one estimator, their errors and run time."""

    estimate: PoseEstimate
    scores: PoseScores
    seconds: float
    """Time per view."""

    def row(self, name: str) -> Record:
        return {
            "estimator": name,
            "median, degrees": self.scores.rotation_deg_median,
            "mean, degrees": self.scores.rotation_deg_mean,
            "under 5°": self.scores.under_5deg,
            "median, % of the radius": self.scores.translation_percent_median,
            "s/view": self.seconds,
        }


@dataclass(frozen=True)
class Inversion(Study):
    """Pose errors by estimator, solver and number of steps, and calibration of the errors."""

    steps: tuple[int, ...] = (1, 2, 5, 20, 50, 200)
    """Numbers of Euler steps backwards from the image to the source."""
    other_steps: tuple[int, ...] = (1, 2, 5, 20)
    """Numbers of steps of the higher-order solvers."""
    refine: bool = True
    """Whether to also refine the poses on the fitted scene."""
    shown: int = 6
    """Number of views that are shown."""

    def run(self, subject: Subject) -> Findings:
        backward = {
            solver: {
                steps: self._timed(
                    subject,
                    subject.with_options(
                        refine_steps=0, inversion_steps=steps, solver=solver
                    ).fitted.estimate_poses,
                )
                for steps in (self.steps if solver == "euler" else self.other_steps)
            }
            for solver in SOLVERS
        }
        read = backward["euler"][self.steps[0]]
        mode = self._timed(subject, subject.flow.fitted.estimate_poses)
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
                f"Pose errors of {len(subject.test)} held-out images, estimated one by one. "
                "One backward step from the image yields the pose, since at t = 1 the optimal "
                "velocity is the image minus the mean of the sources that lead to it. The pose "
                "whose generated image matches best (the energy's mode) is more accurate: "
                f"median rotation error **{mode.scores.rotation_deg_median:.2f}°** vs. "
                f"{read.scores.rotation_deg_median:.2f}°; {last}: "
                f"{named[last].scores.rotation_deg_median:.3f}°.",
                Strip(
                    "images",
                    self._pictures(subject, named),
                    "Image to pose to image: held-out images, and renders of the flow and of "
                    "the scene at the estimated poses.",
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
                        "backward steps from image to source",
                        "median rotation error (degrees)",
                        log_x=True,
                        marker="o",
                    ),
                    "With many small steps the path stays free of noise, which is rare in "
                    "training, and the errors accumulate.",
                ),
                Plot(
                    "histogram",
                    draw_histogram(
                        {name: f.scores.rotation_deg.tolist() for name, f in shown.items()},
                        "rotation error (degrees)",
                    ),
                    "Rotation errors of all views.",
                ),
                "Each estimate has a predicted error about each axis. If these are calibrated, "
                "the 50% region contains the true rotation for half of the views, and the mean "
                "error falls when the least certain estimates are left out.",
                Table([_honesty(name, f, subject.test.cameras) for name, f in shown.items()]),
                Plot(
                    "risk",
                    draw_curves(
                        {name: _risk(f) for name, f in shown.items()},
                        "share of views kept, most certain first",
                        "mean rotation error (degrees)",
                        log_y=True,
                    ),
                    "Risk vs. coverage: a rising curve means that predicted errors rank the "
                    "actual ones.",
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
                        "actual = expected",
                    ),
                    "Actual vs. expected errors of all views.",
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
            ("held-out\nimage", over_white(subject.views.test)[chosen]),
            (
                "flow at its\nestimated pose",
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
        found = refine(subject.scene, test.opaque, start.estimate, test.background)
        seconds = start.seconds + (time.perf_counter() - began) / len(test)
        return EstimatorResult(found, score_poses(found.cameras, test.cameras), seconds)


def _images(renderer: Renderer, cameras: Cameras) -> Tensor:
    return render_in_parts(renderer, cameras).over(WHITE).clamp(0, 1)


_UNCALIBRATED = ("dopri5, backward", "inverse of 4 Euler steps", "nearest candidate")
"""Estimators without predicted errors."""


def _unknown(cameras: Cameras) -> PoseEstimate:
    """A pose estimate without predicted errors (NaN)."""
    nothing = torch.full((len(cameras),), torch.nan)
    return PoseEstimate.isotropic(cameras, nothing, nothing)


def _by_source(
    subject: Subject, images: Tensor, source: Callable[[PoseFlow, Tensor], Tensor]
) -> PoseEstimate:
    """Poses of the sources that a solver computes from the images."""
    model = subject.model
    with torch.no_grad():
        poses = model.unlift(source(model, _ends(subject, images))).world_from_camera
    return _unknown(model.cameras(poses).to("cpu"))


def _candidate(subject: Subject, images: Tensor) -> PoseEstimate:
    """The training poses whose images, generated by the flow, are nearest."""
    model, search = subject.model, subject.method.search
    poses = search.nearest_candidates(model, _ends(subject, images))
    return _unknown(model.cameras(poses).to("cpu"))


def _ends(subject: Subject, images: Tensor) -> Tensor:
    """The images at the flow's end (t = 1), on its device."""
    small = small_squares(subject.model, images)
    return subject.model.flow_from_images(small.to(subject.flow.device))


def _honesty(name: str, found: EstimatorResult, truth: Cameras) -> Record:
    """Calibration: shares of views whose true rotation is inside the predicted regions."""
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

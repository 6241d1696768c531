"""Study: drift of repeated cycles from pose to image and back to a pose."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from unrender.evaluation.images import psnr
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.geometry.paths import evenly
from unrender.report.findings import Findings, Plot, Record, Strip, Table
from unrender.report.plots import draw_curves
from unrender.studies.study import Study, Subject

Images = Float[Tensor, "views height width 3"]


@dataclass(frozen=True)
class Loop(Study):
    """Drift over repeated cycles: pose to image, and image back to a pose."""

    rounds: int = 10
    """Number of cycles."""
    shown: tuple[int, ...] = (0, 1, 3, 10)
    """Cycles whose images are shown."""

    def run(self, subject: Subject) -> Findings:
        estimators = {
            "energy's mode": subject.flow,
            "one backward step": subject.with_options(refine_steps=0),
        }
        begin = subject.test.cameras
        records: list[Record] = []
        drift: dict[str, list[float]] = {}
        kept: list[Images] = []
        for name, flow in estimators.items():
            cameras, images, drift[name] = begin, list[Images](), list[float]()
            for number in range(self.rounds + 1):
                rendering = render_in_parts(flow.renderer, cameras)
                images.append(rendering.over(WHITE).clamp(0, 1))
                scores = score_poses(cameras, begin)
                drift[name].append(scores.rotation_deg_median)
                values = zip(
                    scores.rotation_deg.tolist(),
                    scores.translation_percent.tolist(),
                    psnr(images[-1], images[0]).tolist(),
                    strict=True,
                )
                records += [
                    {
                        "estimator": name,
                        "round": number,
                        "view": view,
                        "rotation_deg": rotation,
                        "translation_percent": translation,
                        "psnr_to_first": decibel if number else None,
                    }
                    for view, (rotation, translation, decibel) in enumerate(values)
                ]
                if number < self.rounds:
                    cameras = flow.fitted.estimate_poses(rendering.rgba.clamp(0, 1)).cameras
            kept = kept or images
        rounds = list(range(self.rounds + 1))
        chosen = evenly(8, len(begin))
        rows = [
            {
                "estimator": name,
                **{
                    f"cycle {number}, degrees": values[number]
                    for number in (1, 2, 5, self.rounds)
                    if number <= self.rounds
                },
            }
            for name, values in drift.items()
        ]
        last = drift["energy's mode"][-1]
        return Findings(
            f"Loop: {subject.name}",
            [
                f"Starting from {len(begin)} held-out poses, the flow generates an image of "
                "the pose, estimates the pose of that image, generates an image of the "
                f"estimate, and so on. After {self.rounds} cycles the median drift of the "
                f"rotation is **{last:.2f}°**.",
                Table(rows),
                Plot(
                    "drift",
                    draw_curves(
                        {name: (rounds, values) for name, values in drift.items()},
                        "cycle",
                        "median rotation drift (degrees)",
                        marker="o",
                    ),
                    "The drift of an exactly inverted flow would be zero.",
                ),
                Strip(
                    "images",
                    [
                        (f"cycle {number}", kept[number][chosen])
                        for number in self.shown
                        if number <= self.rounds
                    ],
                    "Images generated from the flow's own pose estimates (energy's mode).",
                ),
            ],
            records,
            {"views": len(begin), "cycles": self.rounds},
        )

"""Study: estimated against true camera path of a full circle around the scene."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from torch import Tensor

from unrender.api.pose import refine
from unrender.evaluation.poses import score_poses
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly, turntable
from unrender.report.findings import Findings, Plot, Strip, Table
from unrender.report.plots import PALETTE, draw_curves, panels
from unrender.studies.study import Study, Subject, over_white

EXAGGERATED = 10
"""Factor by which errors are exaggerated in the drawing."""
MARGINS = {"left": 0.02, "right": 0.96, "bottom": 0.04, "top": 0.94, "wspace": 0.12}
"""Margins of the drawing as shares of the figure: constrained layout crops 3D axes."""


@dataclass(frozen=True)
class Turntable(Study):
    """Estimated against true camera path of a full circle around the scene."""

    frames: int = 72
    """Number of images."""
    elevation: float = 30.0
    """Elevation in degrees, clamped to the range of the scene's training cameras."""
    refine: bool = True
    """Whether to also refine the poses on the fitted scene."""

    def run(self, subject: Subject) -> Findings:
        low, high = subject.scene.view_ranges["elevation_deg"]
        elevation = min(max(self.elevation, low), high)
        low, high = subject.scene.view_ranges["radius"]
        circle = turntable(self.frames, (low + high) / 2, math.radians(elevation))
        truth = subject.cameras(circle)
        film = subject.render(truth)
        found = {
            "one backward step": subject.with_options(refine_steps=0).fitted.estimate_poses(
                film.images
            ),
            "energy's mode": subject.flow.fitted.estimate_poses(film.images),
        }
        if self.refine:
            # Refinement compares renders of the scene with its own images at full size.
            large = subject.scene.view_ranges["width"], subject.scene.view_ranges["height"]
            fine = subject.render(truth.resized(*large))
            found["refined on the scene"] = refine(
                subject.scene, fine.images, found["energy's mode"]
            )
        azimuth = [360 * frame / self.frames for frame in range(self.frames)]
        scores = {name: score_poses(each.cameras, truth) for name, each in found.items()}
        records = [
            {
                "estimator": name,
                "azimuth_deg": angle,
                "rotation_deg": rotation,
                "translation_percent": translation,
                "expected_rotation_deg": expected,
            }
            for name, score in scores.items()
            for angle, rotation, translation, expected in zip(
                azimuth,
                score.rotation_deg.tolist(),
                score.translation_percent.tolist(),
                found[name].rotation_error.rad2deg().tolist(),
                strict=True,
            )
        ]
        best = list(scores)[-1]
        return Findings(
            f"Turntable: {subject.name}",
            [
                f"{self.frames} renders of the scene from a full circle at {elevation:.0f}° "
                "elevation. The pose of each image is estimated independently of the other "
                f"frames. Rotation error, {best}: median "
                f"**{scores[best].rotation_deg_median:.3f}°**, maximum "
                f"{scores[best].rotation_deg.max().item():.2f}°.",
                Table(
                    [
                        {
                            "estimator": name,
                            "median, degrees": score.rotation_deg_median,
                            "maximum, degrees": score.rotation_deg.max().item(),
                            "median, % of the radius": score.translation_percent_median,
                        }
                        for name, score in scores.items()
                    ]
                ),
                Plot(
                    "path",
                    draw_paths(truth, {n: each.cameras for n, each in found.items()}),
                    f"Estimated and true (gray) camera centers. Errors are drawn {EXAGGERATED} "
                    "times as large as they are.",
                ),
                Plot(
                    "errors",
                    draw_curves(
                        {n: (azimuth, s.rotation_deg.tolist()) for n, s in scores.items()},
                        "azimuth (degrees)",
                        "rotation error (degrees)",
                        log_y=True,
                    ),
                    "Rotation error along the circle.",
                ),
                Strip(
                    "frames",
                    [("input", over_white(film)[evenly(9, self.frames)])],
                    "Some of the input images.",
                ),
            ],
            records,
            {"frames": self.frames, "elevation, degrees": elevation},
        )


def draw_paths(truth: Cameras, found: dict[str, Cameras]) -> Figure:
    """3D plot of the true and the estimated circle for each estimator."""
    size = 3.2 * len(found), 3.3, 1, len(found)
    options = {"subplot_kw": {"projection": "3d"}, "gridspec_kw": MARGINS}
    with panels(*size, **options) as (figure, (grid,)):
        for axes, (name, cameras) in zip(grid, found.items(), strict=True):
            assert isinstance(axes, Axes3D)
            true = _closed(truth.centers)
            ours = true + EXAGGERATED * (_closed(cameras.centers) - true)
            axes.plot(*true.T.tolist(), color="#888888", linewidth=1, label="true")
            axes.plot(*ours.T.tolist(), ".", color=PALETTE[0], markersize=4, label="estimated")
            for a, b in zip(true.tolist(), ours.tolist(), strict=True):
                axes.plot(*zip(a, b, strict=True), color=PALETTE[1], linewidth=0.8)
            extent = 1.05 * truth.centers.norm(dim=1).max().item()
            axes.set(xlim=(-extent, extent), ylim=(-extent, extent), zlim=(0, 1.2 * extent))
            # The stub takes whole numbers only.
            axes.set_box_aspect((2, 2, 1.2), zoom=0.86)  # pyright: ignore[reportArgumentType]
            axes.plot([0], [0], [0], "x", color="#888888")
            axes.view_init(elev=28, azim=math.degrees(-1.0))
            axes.tick_params(labelsize=7, pad=-2)
            axes.set_xlabel("x (scene units)", labelpad=-2)
            axes.set_ylabel("y", labelpad=-4)
            axes.set_zlabel("z", labelpad=-6)
            # The box does not fill its axes: a title inside them is above it all the same.
            axes.set_title(name, fontsize=10, y=0.97)
        return figure


def _closed(path: Float[Tensor, "cameras 3"]) -> Float[Tensor, "closed 3"]:
    return path[[*range(len(path)), 0]].cpu()

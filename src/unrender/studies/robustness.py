"""Study: generalization of the flow to poses outside of the training distribution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from unrender.api.run import Run
from unrender.evaluation.detection import auroc
from unrender.evaluation.images import psnr
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.geometry.bounds import camera_statistics
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly, spherical_shell
from unrender.geometry.poses import look_at, so3_exp
from unrender.report.findings import Findings, Plot, Record, Strip, Table
from unrender.report.pictures import Row
from unrender.report.plots import PALETTE, log_axis, panels
from unrender.studies.study import Study, Subject, over_white
from unrender.training.fit import FitOptions


@dataclass(frozen=True)
class Sweep:
    """Values of one camera parameter, and the range of its training values."""

    name: str
    unit: str
    values: Sequence[float]
    trained: tuple[float, float]

    def inside(self, value: float) -> bool:
        low, high = self.trained
        return low - 1e-6 <= value <= high + 1e-6


@dataclass(frozen=True)
class Robustness(Study):
    """PSNR, pose errors and the energy outside of the range of training poses."""

    views: int = 4000
    """Number of training views, all within the training range."""
    minutes: float = 6.0
    """Training time, in minutes."""
    wedge: float = 90.0
    """Range of azimuth that is left out of training, in degrees."""
    count: int = 12
    """Number of cameras at each value of each parameter."""

    def run(self, subject: Subject) -> Findings:
        sweeps = self._sweeps(subject)
        flow = self._flow(subject, sweeps)
        records: list[Record] = []
        strips: list[Row] = []
        summary: list[Record] = []
        for number, sweep in enumerate(sweeps):
            cameras, value = self._cameras(subject, sweeps, number)
            truth = subject.render(cameras)
            color = over_white(truth)
            made = render_in_parts(flow.renderer, cameras).over(WHITE).clamp(0, 1)
            found = flow.fitted.estimate_poses(truth.images)
            assert found.misfit is not None
            inside = torch.tensor([sweep.inside(each) for each in value])
            quality, error = psnr(made, color), score_poses(found.cameras, cameras).rotation_deg
            energy = found.misfit.sqrt()
            records += [
                {"parameter": sweep.name, "value": v, "inside": int(i), "psnr": p,
                 "rotation_deg": r, "energy": e}
                for v, i, p, r, e in zip(
                    value, inside.tolist(), quality.tolist(), error.tolist(), energy.tolist(),
                    strict=True,
                )
            ]  # fmt: skip
            summary.append(
                {
                    "parameter": sweep.name,
                    "trained on": f"{sweep.trained[0]:.3g} to {sweep.trained[1]:.3g}",
                    "tested on": f"{min(sweep.values):.3g} to {max(sweep.values):.3g}",
                    "PSNR inside, dB": quality[inside].median().item(),
                    "PSNR outside, dB": quality[~inside].median().item(),
                    "error inside, degrees": error[inside].median().item(),
                    "error outside, degrees": error[~inside].median().item(),
                    "AUROC of the energy": auroc(energy[inside], energy[~inside]),
                }
            )
            chosen = [self.count * index for index in evenly(9, len(sweep.values))]
            strips += [(f"{sweep.name}\nscene", color[chosen]), ("flow", made[chosen])]
        return Findings(
            f"Robustness: {subject.name}",
            [
                f"A flow was trained for {self.minutes:g} minutes on {self.views} renders with "
                f"a restricted range of poses: a wedge of {self.wedge:g}° of azimuth is left "
                "out, and so are high elevations, radii more than 25% from the middle one, "
                "roll, and look-at points off the object's center. Each parameter is then "
                "swept beyond its training range while the others stay inside. The energy is "
                "the RMS difference between an image and the best image that the flow can "
                "generate. It needs no ground truth, and the AUROC measures how well it "
                "detects images from outside of the training range.",
                Table(summary),
                Plot(
                    "sweeps",
                    draw_sweeps(sweeps, records),
                    "Medians over the cameras; the training range is gray.",
                ),
                Strip("images", strips, "Images from the smallest to the largest value."),
            ],
            records,
            {"minutes": self.minutes, "training views": self.views, "cameras": self.count},
        )

    def _sweeps(self, subject: Subject) -> list[Sweep]:
        radius, elevation = camera_statistics(subject.views.train.cameras)
        middle = sum(radius) / 2
        low, high = (math.degrees(angle) for angle in elevation)
        half, top = self.wedge / 2, 0.4 * low + 0.6 * high
        return [
            # From the middle of the wedge, at 0, to the opposite side.
            Sweep("azimuth", "degrees", _evenly(0.0, 180.0, 13), (half, 180.0)),
            Sweep("elevation", "degrees", _evenly(low, high, 13), (low, top)),
            Sweep("radius", "scene units", _evenly(0.3 * middle, 1.75 * middle, 13),
                  (0.75 * middle, 1.25 * middle)),
            Sweep("roll", "degrees", _evenly(0.0, 90.0, 10), (0.0, 0.0)),
            Sweep("look-at offset", "scene units", _evenly(0.0, 0.3 * middle, 10), (0.0, 0.0)),
        ]  # fmt: skip

    def _flow(self, subject: Subject, sweeps: list[Sweep]) -> Run:
        azimuth, elevation, radius, *_ = sweeps
        poses = spherical_shell(
            self.views,
            radius.trained,
            torch.Generator().manual_seed(subject.seed),
            _radians(elevation.trained),
            (math.radians(azimuth.trained[0]), 2 * math.pi - math.radians(azimuth.trained[0])),
        )
        data = subject.render(subject.cameras(poses))
        options = FitOptions(minutes=self.minutes, seed=subject.seed)
        return subject.trained("robustness", subject.method, data, options)

    def _cameras(
        self, subject: Subject, sweeps: list[Sweep], number: int
    ) -> tuple[Cameras, list[float]]:
        """`count` cameras for each value; all other parameters are in the training range."""
        generator = torch.Generator().manual_seed(1000 + number)
        swept = sweeps[number]
        value = torch.tensor(swept.values).repeat_interleave(self.count)
        drawn = torch.rand(5, len(value), generator=generator)
        azimuth, elevation, radius, roll, offset = (
            value
            if sweep is swept
            else sweep.trained[0] + (sweep.trained[1] - sweep.trained[0]) * draw
            for sweep, draw in zip(sweeps, drawn, strict=True)
        )
        side = torch.where(torch.rand(len(value), generator=generator) < 0.5, -1.0, 1.0)
        around, up = (side * azimuth).deg2rad(), elevation.deg2rad()
        direction = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], 1)
        aside = torch.randn(len(value), 3, generator=generator)
        aside -= (aside * direction).sum(1, keepdim=True) * direction
        target = offset[:, None] * aside / aside.norm(dim=1, keepdim=True)
        pose = look_at(radius[:, None] * direction, target, torch.tensor([0.0, 0.0, 1.0]))
        turn = torch.zeros(len(value), 3)
        turn[:, 2] = (side * roll).deg2rad()
        rotation = pose[:, :, :3] @ so3_exp(turn)
        cameras = subject.cameras(torch.cat([rotation, pose[:, :, 3:]], dim=2))
        return cameras, value.tolist()


def _evenly(low: float, high: float, count: int) -> list[float]:
    return torch.linspace(low, high, count).tolist()


def _radians(degrees: tuple[float, float]) -> tuple[float, float]:
    return math.radians(degrees[0]), math.radians(degrees[1])


def draw_sweeps(sweeps: list[Sweep], records: list[Record]) -> Figure:
    """Grid of plots: a column for each parameter; rows are PSNR, pose error and energy."""
    rows = {
        "psnr": "PSNR (dB)",
        "rotation_deg": "rotation error (degrees)",
        "energy": "energy (RMS)",
    }
    size = 2.2 * len(sweeps), 5.4, len(rows), len(sweeps)
    with panels(*size, sharex="col", sharey="row") as (figure, grid):
        for column, sweep in enumerate(sweeps):
            for row, (key, label) in enumerate(rows.items()):
                axes = grid[row][column]
                medians = [
                    float(
                        torch.tensor(
                            [
                                float(str(record[key]))
                                for record in records
                                if record["parameter"] == sweep.name
                                and abs(float(str(record["value"])) - value) < 1e-4
                            ]
                        ).quantile(0.5)
                    )
                    for value in sweep.values
                ]
                low, high = sweep.trained
                width = (max(sweep.values) - min(sweep.values)) / 100
                axes.axvspan(low - width, high + width, color="#dddddd", linewidth=0)
                axes.plot(sweep.values, medians, marker="o", ms=3, color=PALETTE[row])
                if key == "rotation_deg":
                    log_axis(axes, "y")
                if not column:
                    axes.set_ylabel(label)
            unit = f" ({sweep.unit})" if sweep.unit else ""
            grid[-1][column].set_xlabel(sweep.name + unit)
        return figure

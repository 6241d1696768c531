"""Study: images generated along the geodesic between two poses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.evaluation.images import psnr
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.geometry.poses import compose, invert, se3_exp, se3_log
from unrender.report.findings import Findings, Plot, Record, Strip
from unrender.report.pictures import Row
from unrender.report.plots import draw_curves
from unrender.studies.study import Study, Subject, over_white


def geodesic(
    start: Float[Tensor, "3 4"], end: Float[Tensor, "3 4"], frames: int
) -> Float[Tensor, "{frames} 3 4"]:
    """Evenly spaced poses on the screw motion from `start` to `end`."""
    twist = se3_log(compose(end, invert(start)))
    share = torch.linspace(0, 1, frames)
    return compose(se3_exp(share[:, None] * twist), start.expand(frames, 3, 4))


def _roll_deg(cameras: Cameras) -> Float[Tensor, "cameras"]:
    """Angle between each camera's x axis and the horizontal plane, in degrees from 0 to 90."""
    return cameras.rotations[:, 2, 0].clamp(-1, 1).asin().abs().rad2deg()


@dataclass(frozen=True)
class Interpolation(Study):
    """Images generated along the geodesic between two poses, against renders of the scene."""

    frames: int = 33
    """Poses on each path."""
    pairs: int = 3
    """Pairs of held-out poses."""
    shown: int = 9
    """Frames that are shown."""

    def run(self, subject: Subject) -> Findings:
        rows: list[Row] = []
        records: list[Record] = []
        scores: list[Tensor] = []
        curves: dict[str, tuple[list[float], list[float]]] = {}
        poses = subject.test.cameras.world_from_camera
        most = 0.0
        starts = evenly(self.pairs, len(poses) - len(poses) // 4)
        for number, start in enumerate(starts):
            end = start + max(1, len(poses) // 8)
            cameras = subject.cameras(geodesic(poses[start], poses[end], self.frames))
            truth = over_white(subject.render(cameras))
            made = render_in_parts(subject.flow.renderer, cameras).over(WHITE).clamp(0, 1)
            scores.append(psnr(made, truth))
            score = scores[-1].tolist()
            share = torch.linspace(0, 1, self.frames).tolist()
            name = f"views {start} to {end}"
            curves[name] = (share, score)
            roll = _roll_deg(cameras)
            most = max(most, float(roll.max()))
            records += [
                {"from": start, "to": end, "share": s, "roll_deg": r, "psnr": p}
                for s, r, p in zip(share, roll.tolist(), score, strict=True)
            ]
            chosen = evenly(self.shown, self.frames)
            if number < 2:
                rows += [(f"flow\n{name}", made[chosen]), ("scene", truth[chosen])]
        everything = torch.cat(scores)
        mean, least = everything.mean().item(), everything.min().item()
        return Findings(
            f"Interpolation: {subject.name}",
            [
                "Images that the flow generates from poses on the screw motion (a geodesic of "
                f"SE(3)) between two held-out cameras. Over {self.pairs} paths of "
                f"{self.frames} poses, their PSNR against renders of the scene is "
                f"**{mean:.1f} dB** on average, and {least:.1f} dB in the worst case.",
                f"Between its ends, the screw motion rolls the cameras by up to {most:.1f}°; "
                "the roll of the training cameras is at most "
                f"{float(_roll_deg(subject.views.train.cameras).max()):.1f}°.",
                Strip("frames", rows, "Images of the flow (upper) and of the scene (lower)."),
                Plot(
                    "psnr",
                    draw_curves(curves, "share of the path", "PSNR vs. the scene (dB)"),
                    "PSNR along each path, from one held-out pose (0) to the other (1).",
                ),
            ],
            records,
            {"paths": self.pairs, "poses per path": self.frames},
        )

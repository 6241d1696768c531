"""Images along the geodesic between two poses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.evaluation.images import psnr
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, invert, se3_exp, se3_log
from unrender.report.pictures import Row, evenly
from unrender.report.plots import draw_curves
from unrender.studies.findings import Findings, Plot, Record, Strip
from unrender.studies.study import Study, Subject, over_white


def geodesic(
    start: Float[Tensor, "3 4"], end: Float[Tensor, "3 4"], frames: int
) -> Float[Tensor, "{frames} 3 4"]:
    """Poses at equal steps of the one screw motion that leads from `start` to `end`."""
    twist = se3_log(compose(end, invert(start)))
    share = torch.linspace(0, 1, frames)
    return compose(se3_exp(share[:, None] * twist), start.expand(frames, 3, 4))


def _roll_deg(cameras: Cameras) -> Float[Tensor, "cameras"]:
    """How far each camera's right side is from level, in degrees from 0 to 90."""
    return cameras.rotations[:, 2, 0].clamp(-1, 1).asin().abs().rad2deg()


@dataclass(frozen=True)
class Interpolation(Study):
    """Images along the geodesic between two poses, beside the scene's own."""

    frames: int = 33
    """Poses from one end to the other."""
    pairs: int = 3
    """Pairs of neighbouring held-out poses."""
    shown: int = 9
    """Frames of the pictures."""

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
                "What the flow makes of poses on the screw motion (a geodesic of SE(3)) "
                f"between two held-out cameras. Over {self.pairs} paths of {self.frames} poses "
                f"its images are **{mean:.1f} dB** from the scene's own in the mean, and "
                f"{least:.1f} dB at worst.",
                f"On its way a screw motion turns the cameras by up to {most:.1f}° about their "
                "optical axes, out of the level; those of training are turned by "
                f"{float(_roll_deg(subject.views.train.cameras).max()):.1f}° at most.",
                Strip("frames", rows, "The flow's images above the scene's own."),
                Plot(
                    "psnr",
                    draw_curves(curves, "share of the way", "PSNR against the scene (dB)"),
                    "A path that is as good between its ends as at them has learned the space, "
                    "not the views.",
                ),
            ],
            records,
            {"paths": self.pairs, "poses a path": self.frames},
        )

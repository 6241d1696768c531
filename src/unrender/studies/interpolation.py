"""Images along the geodesic between two poses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.make_views import camera_statistics
from unrender.evaluation.images import psnr
from unrender.evaluation.renders import WHITE, render_in_parts
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
        (trained, _), _ = camera_statistics(subject.views.train.cameras)
        nearest = trained
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
            distance = cameras.centers.norm(dim=1)
            nearest = min(nearest, float(distance.min()))
            records += [
                {"from": start, "to": end, "share": s, "distance": d, "psnr": p}
                for s, d, p in zip(share, distance.tolist(), score, strict=True)
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
                f"A screw motion cuts corners: cameras come as near as {nearest:.2f} to the "
                f"origin, where those of training keep a distance of {trained:.2f} at least.",
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

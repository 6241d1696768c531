"""Poses of held-out photographs of captures, refined by render-and-compare.

    python benchmarks/real_captures_poses.py RUN ... [--views 8]

The true poses are those of the data set, by COLMAP or a calibrated rig: the fit saw neither
them nor the photographs. Refinements begin at the true pose, which they must keep, and at poses
that are wrong by 2° and 2% or 5° and 5% in random directions. Whether expected errors are
honest is judged where they begin at 2°: a start at the true pose that is kept has no error.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize

from unrender.api.pose import Picture, unlike
from unrender.api.run import Run
from unrender.app.outcome import keep_evaluation
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, se3_exp
from unrender.inverse.pose_steps import Comparison
from unrender.rendering.renderer import PoseEstimate

WORSE = 0.5
"""Degrees from the true pose beyond which a refinement of it made it worse."""
WRONG = (2.0, 5.0)
"""Errors of the other starts: degrees of rotation, and percent of the distance of what is
seen."""


def main() -> None:
    """Print the figures of runs on the held-out views of their own data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--views", type=int, default=8, help="photographs at most")
    arguments = parser.parse_args()
    for path in arguments.runs:
        run = Run.open(path)
        figures = pose_figures(run, run.load_data(), arguments.views)
        print(path, {name: round(value, 4) for name, value in figures.items()}, flush=True)


def pose_figures(run: Run, dataset: Dataset, most: int = 8) -> dict[str, float]:
    """Pose errors on at most `most` held-out views, in degrees, percent of the distance of what
    is seen, and shares of the views.
    """
    test = dataset.test.select(slice(0, most))
    truth = test.cameras
    distance = distances(run, test)
    began = time.perf_counter()
    kept, _ = run.pose(test, start=truth).errors(truth)
    figures = {
        "pose_views": float(len(test)),
        "pose_deg_median": float(kept.median()),
        "pose_deg_max": float(kept.max()),
        "pose_worse_share": float((kept > WORSE).float().mean()),
        "pose_seconds": (time.perf_counter() - began) / len(test),
    }
    for degrees in WRONG:
        start = wrong_by(truth, distance, degrees, degrees / 100)
        found = run.pose(test, start=start)
        turn, away = found.errors(truth)
        name = f"pose_from_{degrees:g}deg"
        figures[f"{name}_deg_median"] = float(turn.median())
        figures[f"{name}_percent_median"] = float((100 * away / distance).median())
        figures[f"{name}_better_share"] = float((turn < degrees).float().mean())
        if degrees == WRONG[0]:
            figures |= calibration(found, truth)
    return figures


def distances(run: Run, views: Views) -> torch.Tensor:
    """Distance of what is seen in each view."""
    return torch.cat(
        [
            Comparison(run.renderer, view.opaque, view.cameras, None).depth_of_detail()
            for view in views
        ]
    )


def told_apart(run: Run, dataset: Dataset, others: Sequence[Picture]) -> dict[str, float]:
    """Shares of photographs that are reported to show something else than the run does: of its
    own held-out ones refined from the true pose, and of those of other scenes.
    """
    test = dataset.test.select(slice(0, len(others)))
    own = run.pose(test, start=test.cameras)
    strangers = run.pose(list(others[: len(test)]), start=test.cameras)
    keep_evaluation(run, run.evaluation(dataset, progress=False))
    told = [
        sum(unlike(run, found, k) is not None for k in range(len(test))) / len(test)
        for found in (own, strangers)
    ]
    return {"pose_own_reported_share": told[0], "pose_other_reported_share": told[1]}


def calibration(found: PoseEstimate, truth: Cameras) -> dict[str, float]:
    """Median ratio of true to expected rotation error, and shares of views below 1 and 2."""
    turn, _ = found.errors(truth)
    ratio = turn / found.rotation_error.rad2deg()
    return {
        "pose_error_ratio_median": float(ratio.median()),
        "pose_within_expected": float((ratio < 1).float().mean()),
        "pose_within_twice_expected": float((ratio < 2).float().mean()),
    }


def wrong_by(
    truth: Cameras, distance: torch.Tensor, degrees: float, share: float, seed: int = 0
) -> Cameras:
    """Cameras turned by that many degrees about a random axis through their centers, which are
    moved in random directions by a share of the distance.
    """
    generator = torch.Generator().manual_seed(seed)
    axis, aside = normalize(torch.randn(2, len(truth), 3, generator=generator), dim=2)
    twist = torch.cat([math.radians(degrees) * axis, torch.zeros_like(axis)], dim=1)
    poses = compose(truth.world_from_camera, se3_exp(twist))
    poses[:, :, 3] += share * distance[:, None] * aside
    return truth.with_poses(poses)


if __name__ == "__main__":
    main()

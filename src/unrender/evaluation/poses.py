"""Errors of estimated camera poses, and the quality of their expected errors.

Errors are computed for each view against its true camera, in the ground truth's frame, without
alignment. Lengths are in percent of the true camera's distance from the origin, or from another
center of the scene: the radius.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.evaluation.images import finite_or_none
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance


@dataclass(frozen=True)
class PoseScores:
    """Pose errors of each view against the true cameras."""

    rotation_deg: Float[Tensor, "views"]
    """Geodesic distance of the rotations, in degrees, in [0, 180]."""
    translation_percent: Float[Tensor, "views"]
    """Distance of the centers, in percent of the true center's distance from the scene's."""

    @property
    def rotation_deg_median(self) -> float:
        return _median(self.rotation_deg)

    @property
    def rotation_deg_mean(self) -> float:
        return self.rotation_deg.mean().item()

    @property
    def translation_percent_median(self) -> float:
        return _median(self.translation_percent)

    @property
    def translation_percent_mean(self) -> float:
        return self.translation_percent.mean().item()

    @property
    def under_5deg(self) -> float:
        """Share of the views with a rotation error below 5°, in [0, 1]."""
        return (self.rotation_deg < 5).float().mean().item()

    def to_json(self) -> dict[str, object]:
        """Summary and errors of each view; null for values that are not finite."""
        pairs = zip(self.rotation_deg.tolist(), self.translation_percent.tolist(), strict=True)
        return {
            "rotation_deg_median": finite_or_none(self.rotation_deg_median),
            "rotation_deg_mean": finite_or_none(self.rotation_deg_mean),
            "translation_percent_median": finite_or_none(self.translation_percent_median),
            "translation_percent_mean": finite_or_none(self.translation_percent_mean),
            "under_5deg": finite_or_none(self.under_5deg),
            "num_views": len(self.rotation_deg),
            "views": [
                {"rotation_deg": finite_or_none(a), "translation_percent": finite_or_none(b)}
                for a, b in pairs
            ],
        }


def score_poses(
    estimated: Cameras, truth: Cameras, center: Float[Tensor, "3"] | None = None
) -> PoseScores:
    """Errors of `estimated`, view by view, in the order of `truth`.

    `center` is that of the scene, by default the origin.
    """
    ours = estimated.world_from_camera.detach().cpu().double()
    true = truth.world_from_camera.detach().cpu().double()
    rotation = so3_distance(ours[..., :3], true[..., :3])
    distance = (ours[..., 3] - true[..., 3]).norm(dim=-1)
    middle = 0.0 if center is None else center.detach().cpu().double()
    percent = 100 * distance / (true[..., 3] - middle).norm(dim=-1)
    return PoseScores((rotation * (180 / math.pi)).float(), percent.float())


def rank_correlation(expected: Float[Tensor, "views"], actual: Float[Tensor, "views"]) -> float:
    """Spearman's rank correlation of expected and actual errors.

    NaN if it is undefined: for fewer than three views, if all values are equal, or if there are
    NaN values.
    """
    values = torch.stack([expected, actual]).detach().cpu().double()
    if values.shape[1] < 3 or values.isnan().any():
        return math.nan
    if (values == values[:, :1]).all(dim=1).any():
        return math.nan
    from scipy.stats import rankdata  # noqa: PLC0415 - takes half a second and is rarely needed

    # Spearman's correlation is Pearson's of the ranks; ties get their mean rank.
    return float(np.corrcoef(rankdata(values.numpy(), axis=1))[0, 1])


def _median(values: Float[Tensor, "views"]) -> float:
    """Median; for an even number, the mean of the two middle values, unlike `torch.median`."""
    ordered = values.sort().values
    middle = len(ordered) - 1
    return (ordered[middle // 2] + ordered[(middle + 1) // 2]).item() / 2

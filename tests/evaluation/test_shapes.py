"""Shape metrics in closed form."""

import json
import math

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.evaluation.shapes import score_shape, voxel_iou


def plane(count: int = 30) -> Tensor:
    """A square of points, 1 on each side, at z = 0."""
    axis = torch.linspace(0, 1, count)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)], dim=-1).view(-1, 3)


def up(points: Tensor) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0]).expand_as(points)


def test_a_shape_and_itself() -> None:
    points = plane()
    scores = score_shape(points.flip(0), points, up(points), -up(points))
    assert scores.chamfer == scores.accuracy == scores.completeness == 0
    assert scores.f1 == scores.precision == scores.recall == (1.0,) * 5
    assert scores.normal_consistency == 1
    assert scores.size == 1


def test_a_copy_moved_off_the_plane() -> None:
    """Each point is 0.025 of the size away: beyond two of the thresholds, within three."""
    points = 2 * plane()
    moved = points + torch.tensor([0.0, 0.0, 0.05])
    turned = torch.tensor([0.0, 0.6, 0.8]).expand_as(points)
    scores = score_shape(moved, points, turned, up(points))
    assert scores.chamfer == pytest.approx(2 * 0.05**2, rel=1e-4)
    assert scores.chamfer_l1 == pytest.approx(0.05, rel=1e-4)
    assert scores.f1 == (0, 0, 1, 1, 1)
    assert scores.normal_consistency == pytest.approx(0.8)


def test_half_of_a_shape_is_precise_but_not_complete() -> None:
    points = plane(40)
    half = points[points[:, 0] < 0.5]
    scores = score_shape(half, points, thresholds=(0.001, 0.25))
    assert scores.precision == (1.0, 1.0)
    assert scores.recall[0] == pytest.approx(0.5)
    assert scores.recall[1] == pytest.approx(0.75, abs=0.03)
    assert scores.f1[0] == pytest.approx(2 / 3)
    assert scores.accuracy == 0
    # Of the half that lacks, points are 0 to ½ away.
    assert scores.completeness == pytest.approx(1 / 8, abs=0.01)
    assert scores.normal_consistency is None


def test_scores_are_json() -> None:
    scores = score_shape(plane(5), plane(5))
    assert json.loads(json.dumps(scores.to_json()))["f1"] == [1.0] * 5


@pytest.mark.parametrize(
    ("points", "truth", "message"),
    [
        (torch.empty(0, 3), plane(3), "the reconstruction has no points"),
        (torch.full((2, 3), math.nan), plane(3), "the reconstruction has points that are not"),
        (plane(3), torch.ones(4, 3), "all coincide"),
    ],
)
def test_what_cannot_be_scored_is_refused(points: Tensor, truth: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_shape(points, truth)


def test_iou_of_boxes() -> None:
    a, b = torch.zeros(2, 4, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    a[0, :2], b[0, 1:3] = True, True
    torch.testing.assert_close(voxel_iou(a, b), torch.tensor([1 / 3, 1.0]))

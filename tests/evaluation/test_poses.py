"""Pose errors: closed forms, invariances and undefined cases."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.evaluation.poses import (
    PoseScores,
    rank_correlation,
    score_poses,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import compose, se3_exp, so3_exp


def cameras(count: int, seed: int = 0) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    return Cameras.from_focal(spherical_shell(count, (3.0, 5.0), generator), 40.0, 32, 32)


def turned(truth: Cameras, turns: Tensor) -> Cameras:
    """Each camera turned in place by a rotation vector in its own frame."""
    rotations = truth.rotations @ so3_exp(turns)
    return truth.with_poses(torch.cat([rotations, truth.centers[..., None]], dim=-1))


def test_true_cameras_have_no_error() -> None:
    truth = cameras(5)
    scores = score_poses(truth, truth)
    assert scores.rotation_deg.eq(0).all()
    assert scores.translation_percent.eq(0).all()
    assert scores.under_5deg == 1


def test_a_turn_in_place_is_only_a_rotation_error() -> None:
    truth = cameras(4)
    axis = torch.nn.functional.normalize(
        torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    angles = torch.tensor([0.01, 4.9, 5.1, 179.0])
    scores = score_poses(turned(truth, axis * angles[:, None].deg2rad()), truth)
    torch.testing.assert_close(scores.rotation_deg, angles, rtol=1e-3, atol=1e-3)
    assert scores.translation_percent.eq(0).all()
    assert scores.under_5deg == 0.5


def test_a_step_outwards_is_its_share_of_the_radius() -> None:
    truth = cameras(6)
    poses = truth.world_from_camera.clone()
    poses[:, :, 3] *= 1.03
    scores = score_poses(truth.with_poses(poses), truth)
    torch.testing.assert_close(
        scores.translation_percent, torch.full((6,), 3.0), rtol=1e-4, atol=0
    )
    assert scores.rotation_deg.eq(0).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_errors_do_not_depend_on_the_worlds_axes_or_unit(seed: int, unit: float) -> None:
    truth = cameras(3, seed)
    generator = torch.Generator().manual_seed(seed)
    twist = se3_exp(0.2 * torch.randn(3, 6, generator=generator))
    estimated = truth.with_poses(compose(truth.world_from_camera, twist))
    rotation = so3_exp(torch.randn(1, 3, generator=generator)).expand(3, 3, 3)

    def elsewhere(given_cameras: Cameras) -> Cameras:
        poses = rotation @ given_cameras.world_from_camera
        return given_cameras.with_poses(poses * torch.tensor([1.0, 1, 1, unit]))

    here = score_poses(estimated, truth)
    there = score_poses(elsewhere(estimated), elsewhere(truth))
    torch.testing.assert_close(here.rotation_deg, there.rotation_deg, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        here.translation_percent, there.translation_percent, rtol=1e-3, atol=1e-3
    )


def test_the_summary_is_that_of_the_views() -> None:
    scores = PoseScores(torch.tensor([1.0, 9.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 2.0, 6.0]))
    summary = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert summary["rotation_deg_median"] == 3
    assert summary["rotation_deg_mean"] == 4
    assert summary["translation_percent_median"] == 1.5
    assert summary["translation_percent_mean"] == 2.5
    assert summary["under_5deg"] == 0.75
    assert summary["num_views"] == 4
    assert summary["views"][1] == {"rotation_deg": 9, "translation_percent": 1}


def test_exactly_five_degrees_is_not_under_five() -> None:
    assert PoseScores(torch.tensor([5.0]), torch.tensor([0.0])).under_5deg == 0


def test_a_true_camera_at_the_origin_has_no_radius_to_compare_with() -> None:
    truth = cameras(1)
    poses = truth.world_from_camera.clone()
    poses[:, :, 3] = 0
    scores = score_poses(truth, truth.with_poses(poses))
    assert scores.translation_percent.isposinf().all()
    assert scores.to_json()["translation_percent_median"] is None


def test_rank_correlation_sees_order_alone() -> None:
    expected = torch.tensor([0.1, 0.5, 2.0, 3.0])
    assert rank_correlation(expected, expected.exp()) == pytest.approx(1)
    assert rank_correlation(expected, -expected) == pytest.approx(-1)
    # One swap of neighbours among four: 1 - 6 * 2 / (4 * 15).
    swapped = torch.tensor([0.0, 2.0, 1.0, 3.0])
    assert rank_correlation(expected, swapped) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ([1.0, 2.0, math.nan], [1.0, 2.0, 3.0]),
    ],
)
def test_rank_correlation_may_be_undefined(expected: list[float], actual: list[float]) -> None:
    assert math.isnan(rank_correlation(torch.tensor(expected), torch.tensor(actual)))

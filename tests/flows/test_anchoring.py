"""Anchoring: where anchors stand, which one is taken, and what of it counts."""

import math

import pytest
import torch

from unrender.flows.anchoring import VARIANTS, turned
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.poses import so3_distance

CENTER, UP = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 0.0, 1.0])
PAPER, CODE, OFF = (VARIANTS[name] for name in ("paper", "code", "off"))


def camera() -> Cameras:
    return Cameras.look_at((CENTER + torch.tensor([3.0, 0.0, 1.0])).tolist(), CENTER.tolist())


def anchors() -> Cameras:
    return PAPER.cameras(camera(), CENTER, UP)


def test_anchors_stand_at_120_and_240_degrees() -> None:
    found, first = anchors(), camera()
    offset = found.centers - CENTER
    azimuth = torch.atan2(offset[:, 1], offset[:, 0]).rad2deg() % 360
    torch.testing.assert_close(azimuth, torch.tensor([120.0, 240.0]), rtol=0, atol=1e-3)
    torch.testing.assert_close(offset[:, 2], torch.ones(2))
    reach = (first.centers - CENTER).norm()
    torch.testing.assert_close(offset.norm(dim=1), reach.expand(2))
    # They look at the center, as the input does.
    pixel, _ = found.project(torch.arange(2), CENTER.expand(2, 3))
    torch.testing.assert_close(pixel, torch.tensor([[320.0, 240.0]] * 2), rtol=0, atol=1e-2)


def test_no_turn_is_the_camera() -> None:
    found = turned(camera(), CENTER, UP, [0.0, 2 * math.pi])
    for pose in found.world_from_camera:
        torch.testing.assert_close(pose, camera().world_from_camera[0], rtol=0, atol=1e-5)


def test_probabilities_of_the_variants() -> None:
    """By the fraction of training: short fits see anchors in their first half too."""
    for fraction in (0.0, 0.3, 1.0):
        assert PAPER.probability_at(fraction) == 0.5
        assert OFF.probability_at(fraction) == 0.0
    assert CODE.probability_at(0.0) == 1.0
    assert CODE.probability_at(0.125) == pytest.approx(0.75)
    assert CODE.probability_at(0.5) == CODE.probability_at(0.75) == 0.0


def test_the_nearest_anchor_by_the_stated_distance() -> None:
    targets = turned(camera(), CENTER, UP, [math.radians(a) for a in range(70, 300, 10)])
    always = CODE.choose(targets, anchors(), CENTER, 0.0, torch.Generator())
    expected = nearest_views(targets, anchors(), CENTER, 1, rotation_only=True)[:, 0]
    assert torch.equal(always, expected)
    angle = so3_distance(targets.rotations[:, None], anchors().rotations[None])
    assert torch.equal(always, angle.argmin(1))


def test_rotation_alone_or_position_too() -> None:
    """A camera that stands by one anchor and is turned as the other."""
    both = anchors()
    mixed = torch.cat(
        [both.rotations[:1], both.centers[1:, :, None]], dim=2
    )  # Turned as the first; at the place of the second, and 120° away in rotation.
    target = camera().with_poses(mixed)
    chosen = CODE.choose(target, both, CENTER, 0.0, torch.Generator())
    assert chosen.tolist() == [0]
    far = nearest_views(target, both, CENTER)[0, 0]
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert int(PAPER.choose(target, both, CENTER, 0.0, generator)) in (-1, int(far))


def test_anchors_are_taken_as_often_as_the_probability_says() -> None:
    targets = turned(camera(), CENTER, UP, [0.01 * k for k in range(4000)])
    share = (
        (PAPER.choose(targets, anchors(), CENTER, 0.1, torch.Generator()) >= 0).float().mean()
    )
    assert abs(share - 0.5) < 0.03
    assert (CODE.choose(targets, anchors(), CENTER, 0.5, torch.Generator()) == -1).all()


def test_without_anchors_the_input_is_taken() -> None:
    none = OFF.cameras(camera(), CENTER, UP)
    assert len(none) == 0
    assert OFF.choose(anchors(), none, CENTER, 0.0, torch.Generator()).tolist() == [-1, -1]


def test_an_anchor_counts_beyond_the_depth_alone() -> None:
    depth = torch.tensor([0.0, 0.5, 1.9, 2.1]).view(1, 1, 4).expand(2, -1, -1)
    chosen = torch.tensor([-1, 0])
    paper = PAPER.counts(depth, chosen, 2.0)
    assert paper[0].all()
    assert paper[1, 0].tolist() == [False, False, False, True]
    # The code's threshold of 0 leaves out what is hit by nothing.
    assert CODE.counts(depth, chosen, 2.0)[1, 0].tolist() == [False, True, True, True]

"""Which way is up for cameras."""

import math

import pytest
import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upwards
from unrender.geometry.poses import compose, se3_exp

Z = torch.tensor([0.0, 0, 1])


@pytest.mark.parametrize("elevation", [-60, -40, 0, 35, 50, 70])
def test_a_single_camera_that_is_not_rolled_stands_upright(elevation: int) -> None:
    angle = math.radians(elevation)
    eye = (4 * math.cos(angle), 1.0, 4 * math.sin(angle))
    assert torch.equal(upwards(Cameras.look_at(eye)), Z)


def test_a_rolled_camera_has_its_own_up_direction() -> None:
    camera = Cameras.look_at((3, 1, 3))
    turn = se3_exp(torch.tensor([[0.0, 0, 0.3, 0, 0, 0]]))
    rolled = camera.with_poses(compose(camera.world_from_camera, turn))
    torch.testing.assert_close(upwards(rolled), -rolled.rotations[0, :, 1])


def test_cameras_of_a_forward_facing_capture_keep_theirs() -> None:
    """As COLMAP and LLFF have them: y is down, and z is where they look."""
    cameras = Cameras.look_at([(0, 0, 0), (1, 0, 0)], [(0, 0, 4), (1, 0.1, 4)], up=(0, -1, 0))
    assert float(upwards(cameras) @ torch.tensor([0.0, -1, 0])) > 0.99

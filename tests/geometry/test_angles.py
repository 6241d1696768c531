"""Azimuth, elevation and roll of cameras, and what they look at."""

import math

import pytest
import torch

from unrender.geometry.angles import view_angles
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at

Z = torch.tensor([0.0, 0.0, 1.0])


@pytest.mark.parametrize("roll", [0.0, 30.0, -100.0])
@pytest.mark.parametrize("elevation", [-60.0, 0.0, 20.0])
@pytest.mark.parametrize("azimuth", [-170.0, 0.0, 75.0])
def test_angles_are_those_the_camera_was_made_with(
    azimuth: float, elevation: float, roll: float
) -> None:
    a, e = math.radians(azimuth), math.radians(elevation)
    away = [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]
    target = torch.tensor([[1.0, -2.0, 0.5]])
    eye = target + 3 * torch.tensor([away])
    pose = look_at(eye, target, Z, torch.tensor([math.radians(roll)]))
    found = view_angles(Cameras.from_focal(pose, 50.0, 40, 30), target[0], Z)
    torch.testing.assert_close(found.target, target, atol=1e-4, rtol=0)
    expected = ((found.azimuth, azimuth), (found.elevation, elevation), (found.roll, roll))
    for value, given in expected:
        assert float(value) == pytest.approx(given, abs=0.01)


def test_what_is_looked_at_is_in_front_of_the_camera() -> None:
    """Also where the focus is behind it."""
    camera = Cameras.look_at((4, 0, 0), target=(8, 0, 0))
    found = view_angles(camera, torch.zeros(3), Z)
    assert float((found.target - camera.centers) @ camera.rotations[0, :, 2]) > 0


def test_turning_the_world_with_its_up_direction_keeps_elevation_and_roll() -> None:
    cameras = Cameras.look_at([(4, 1, 1), (0, 4, 2)])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turn *= torch.linalg.det(turn).sign()
    turned = cameras.with_poses(turn @ cameras.world_from_camera)
    focus = torch.tensor([0.2, 0.1, 0.3])
    before, after = view_angles(cameras, focus, Z), view_angles(turned, turn @ focus, turn @ Z)
    torch.testing.assert_close(after.elevation, before.elevation, atol=1e-3, rtol=0)
    torch.testing.assert_close(after.roll, before.roll, atol=1e-3, rtol=0)
    torch.testing.assert_close(after.target, before.target @ turn.T, atol=1e-4, rtol=0)

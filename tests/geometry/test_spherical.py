"""Elevation, azimuth and radius of cameras, and back."""

import math

import numpy as np
import pytest
import torch

from unrender.errors import InputError
from unrender.geometry.angles import view_angles
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.spherical import (
    pose_from_spherical,
    position_from_spherical,
    spherical_from_pose,
    spherical_from_position,
)

POLE = math.pi / 2


def grid() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Elevations between the poles, azimuths of the whole circle, radii of twelve decades."""
    elevation = torch.linspace(-1.57, 1.57, 13, dtype=torch.float64)
    azimuth = torch.linspace(-math.pi, math.pi, 18, dtype=torch.float64)[1:]
    radius = torch.logspace(-6, 6, 5, dtype=torch.float64)
    return elevation[:, None, None], azimuth[:, None], radius


@pytest.mark.parametrize("center", [(0, 0, 0), (0.5, -0.25, 2.0)])
def test_angles_and_radius_come_back_from_the_pose(center: tuple[float, ...]) -> None:
    elevation, azimuth, radius = (each.expand(13, 17, 5) for each in grid())
    radius = radius if center == (0, 0, 0) else radius.clamp(0.1, 10)
    found = spherical_from_pose(pose_from_spherical(elevation, azimuth, radius, center), center)
    assert found.azimuth.dtype == torch.float64
    for value, given in ((found.elevation, elevation), (found.radius / radius, 1 + 0 * radius)):
        torch.testing.assert_close(value, given, atol=1e-13, rtol=0)
    # Near the poles the azimuth is that of a tiny circle.
    off = (found.azimuth - azimuth + math.pi) % (2 * math.pi) - math.pi
    assert float((off.abs() * elevation.cos()).max()) < 1e-13


def test_positions_come_back() -> None:
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    found = spherical_from_position(points)
    again = position_from_spherical(found.elevation, found.azimuth, found.radius)
    torch.testing.assert_close(again, points, atol=1e-14, rtol=1e-14)


def test_numbers_by_hand() -> None:
    found = spherical_from_position([[1, 0, 0], [0, 3, 0], [-2, 0, 0], [0, -1, 1], [0, 0, -4]])
    r = math.sqrt(2)
    assert found.radius.tolist() == pytest.approx([1, 3, 2, r, 4], rel=1e-15)
    assert found.elevation.tolist() == pytest.approx([0, 0, 0, POLE / 2, -POLE], rel=1e-15)
    assert found.azimuth.tolist() == pytest.approx([0, POLE, math.pi, -POLE, 0], rel=1e-15)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("height", [2.0, -2.0])
def test_at_a_pole_the_azimuth_is_zero(zero: float, height: float) -> None:
    """Whatever the signs of the zeros, of which atan2 makes π."""
    found = spherical_from_position([-zero, zero, height])
    assert float(found.azimuth) == 0
    assert float(found.elevation) == math.copysign(POLE, height)
    assert float(spherical_from_position([-1.0, zero, 0.0]).azimuth) == math.pi


def test_cameras_are_rigid_upright_and_look_at_the_center() -> None:
    center = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    elevation = torch.tensor([-POLE, -1.0, 0.0, 1.2, POLE], dtype=torch.float64)
    pose = pose_from_spherical(elevation, 0.7, 3.0, center)
    rotation = pose[:, :, :3]
    identity = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    torch.testing.assert_close(rotation.mT @ rotation, identity, atol=1e-15, rtol=0)
    assert bool((torch.linalg.det(rotation) > 0).all())
    torch.testing.assert_close(pose[:, :, 3] + 3 * rotation[:, :, 2], center.expand(5, 3))
    assert float(rotation[:, 2, 0].abs().max()) == 0  # The image's x axis is horizontal.
    assert bool((rotation[1:4, 2, 1] < 0).all())  # The image's y axis points down.


def test_poses_agree_with_those_of_a_turntable() -> None:
    azimuth = torch.arange(8) / 8 * 2 * math.pi
    same = pose_from_spherical(0.4, azimuth, 2.5).float()
    torch.testing.assert_close(same, turntable(8, 2.5, 0.4), atol=1e-6, rtol=0)


def test_angles_agree_with_those_in_degrees() -> None:
    pose = pose_from_spherical(0.3, -2.0, 4.0)[None].float()
    found = view_angles(
        Cameras.from_focal(pose, 50.0, 40, 30), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0])
    )
    assert float(found.elevation) == pytest.approx(math.degrees(0.3), abs=1e-4)
    assert float(found.azimuth) == pytest.approx(math.degrees(-2.0), abs=1e-4)


def test_what_is_given_as_arrays_of_any_kind() -> None:
    points = np.array([[1.0, 2, 3], [4, 5, 6]])
    expected = spherical_from_position(torch.tensor(points))
    rows = [torch.tensor(each) for each in points]
    for given in (points.astype(">f4"), points[::-1, ::-1][::-1, ::-1], points.tolist(), rows):
        assert torch.equal(spherical_from_position(given).azimuth, expected.azimuth)


def test_what_broadcasts() -> None:
    assert pose_from_spherical(0.1, np.zeros(4), [[1.0], [2.0]]).shape == (2, 4, 3, 4)
    assert position_from_spherical(0.1, 0.2, 1.0, np.zeros((5, 3))).shape == (5, 3)
    assert spherical_from_position(np.ones((2, 6, 3))).radius.shape == (2, 6)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: spherical_from_position([[1, 0, 0], [0, 0, 0]]), "camera 1: is at the center"),
        (lambda: spherical_from_position([1, 2, 3], [1, 2, 3]), "camera 0: is at the center"),
        (lambda: spherical_from_position([1, 2]), r"have the shape \[2\]"),
        (lambda: spherical_from_position([1, 2, math.nan]), "NaN or Inf"),
        (lambda: spherical_from_position("abc"), "not an array of numbers"),
        (lambda: spherical_from_pose(np.zeros((3, 3))), r"have the shape \[3, 3\]"),
        (lambda: pose_from_spherical(30, 0, 1), "elevation 30: give radians"),
        (lambda: pose_from_spherical(0, 0, 0), "radius 0: give a length"),
        (lambda: pose_from_spherical(0, math.inf, 1), "azimuth: contains NaN or Inf"),
    ],
)
def test_what_is_undefined_is_refused(call: object, what: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=what):
        call()

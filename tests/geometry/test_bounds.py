"""Scene bounds estimated from cameras, and intersections of rays with a ball."""

import dataclasses
import math

import pytest
import torch

from unrender.geometry.bounds import (
    camera_extent,
    camera_statistics,
    focus_point,
    intersect_ball,
    view_counts,
    visible_ball,
)
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.paths import spherical_shell, turntable


def around(center: tuple[float, float, float], distance: float, focal: float) -> Cameras:
    poses = turntable(12, distance, 0.5).clone()
    poses[:, :, 3] += torch.tensor(center)
    return Cameras.from_focal(poses, focal, 40, 30)


def test_the_focus_is_what_all_look_at() -> None:
    found = focus_point(around((3.0, -2.0, 7.0), 4.0, 40.0))
    torch.testing.assert_close(found, torch.tensor([3.0, -2.0, 7.0]), atol=2e-3, rtol=0)


def test_the_ball_touches_the_corners_rays() -> None:
    center, radius = visible_ball(around((1.0, 0.0, 0.0), 4.0, 40.0))
    # A corner is 25 pixels from the center.
    expected = 4 * 25 / (25**2 + 40**2) ** 0.5
    assert abs(radius / expected - 1) < 1e-2
    assert abs(float(center[0]) - 1) < 1e-2


def test_the_ball_touches_the_farthest_corners_ray() -> None:
    """Of a principal point beside the image's center, and of pixels that are not square."""
    cameras = around((1.0, 0.0, 0.0), 4.0, 40.0)
    matrix = cameras.intrinsics.clone()
    matrix[:, 1, 1], matrix[:, :2, 2] = 50.0, torch.tensor([8.0, 21.0])
    cameras = dataclasses.replace(cameras, intrinsics=matrix)
    center, radius = visible_ball(cameras)
    corners = torch.tensor([[0.0, 0.0], [40, 0], [0, 30], [40, 30]])
    rays = cameras.rays(torch.zeros(4, dtype=torch.long), corners)
    along = ((center - rays.origins) * rays.directions).sum(1, keepdim=True)
    apart = (center - rays.origins - along * rays.directions).norm(dim=1)
    assert radius == pytest.approx(float(apart.max()), rel=1e-3)


def test_parallel_cameras_have_a_focus_within_reach() -> None:
    poses = torch.eye(3, 4).repeat(5, 1, 1)
    poses[:, 0, 3] = torch.arange(5.0)
    found = focus_point(Cameras.from_focal(poses, 40.0, 40, 30))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[:2], torch.tensor([2.0, 0.0]), atol=1e-3, rtol=0)


def rays() -> Rays:
    cameras = Cameras.from_focal(turntable(4, 4.0, 0.5), 40.0, 32, 32)
    return cameras.rays(
        torch.arange(4), torch.tensor([[16.0, 16], [16, 16], [20, 9], [-300, 0]])
    )


def test_rays_hit_the_surface_of_the_ball() -> None:
    near, far = intersect_ball(rays(), torch.zeros(3), 1.5, 0.01)
    torch.testing.assert_close(near[:2], torch.full((2,), 2.5))
    torch.testing.assert_close(far[:2], torch.full((2,), 5.5))
    for t in (near, far):
        points = rays().origins + t[:, None] * rays().directions
        torch.testing.assert_close(points[:3].norm(dim=1), torch.full((3,), 1.5))
    # One that misses it has nowhere to look.
    assert near[3] == far[3]


def test_from_within_the_ball_the_interval_begins_at_near() -> None:
    near, far = intersect_ball(rays(), torch.zeros(3), 10.0, 0.01)
    assert bool((near == 0.01).all())
    torch.testing.assert_close(far[:2], torch.full((2,), 14.0))


def test_view_counts_are_the_cameras_that_see_a_point() -> None:
    cameras = around((0.0, 0.0, 0.0), 4.0, 40.0)
    points = torch.tensor([[0.0, 0, 0], [0, 0, 50], [100, 0, 0]])
    counts = view_counts(points, cameras)
    assert counts[0] == 12
    assert counts[1] == 0
    assert counts[2] < 6


def test_statistics_are_those_the_cameras_were_drawn_with() -> None:
    poses = spherical_shell(
        3000, (3.0, 5.0), torch.Generator().manual_seed(0), elevation=(0.1, 1.2)
    )
    radius, elevation = camera_statistics(Cameras.from_focal(poses, 10.0, 8, 8))
    assert radius == pytest.approx((3, 5), abs=0.01)
    assert elevation == pytest.approx((0.1, 1.2), abs=0.01)


def test_statistics_of_a_circle_are_two_points() -> None:
    cameras = Cameras.from_focal(turntable(7, 4.0, math.radians(30)), 10.0, 8, 8)
    radius, elevation = camera_statistics(cameras)
    assert radius == pytest.approx((4, 4))
    assert elevation == pytest.approx((math.pi / 6, math.pi / 6))


def test_the_extent_is_from_the_mean_of_the_cameras() -> None:
    centers = torch.tensor([[0.0, 0, 0], [4, 0, 0], [2, 3, 0]])
    pose = torch.cat([torch.eye(3).expand(3, 3, 3), centers[..., None]], dim=2)
    cameras = Cameras.from_focal(pose, 30.0, 32, 32)
    # Their mean is (2, 1, 0), and the first two are √5 from it.
    assert camera_extent(cameras) == pytest.approx(1.1 * 5**0.5)
    assert camera_extent(cameras.select(slice(0, 1))) == 0
    moved = cameras.with_poses(torch.cat([pose[:, :, :3], 3 * pose[:, :, 3:] + 7], dim=2))
    assert camera_extent(moved) == pytest.approx(3.3 * 5**0.5)


def test_the_focus_of_parallel_cameras_is_in_front_of_them() -> None:
    """Its depth is unknown; it is ten times as far away as the outermost from the middle."""
    poses = torch.eye(3, 4).expand(4, 3, 4).clone()
    poses[:, :2, 3] = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    found = focus_point(Cameras.from_focal(poses, 40.0, 32, 24))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 10.0]))

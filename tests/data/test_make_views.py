"""Datasets rendered from a model."""

import math

import pytest
import torch

from unrender.data.make_views import camera_statistics, make_views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell, turntable
from unrender.rendering.renderer import Rendering, pixel_grid


def half_plane(cameras: Cameras) -> Rendering:
    """White to the left of a line at a quarter of the fourth of eight pixel columns."""
    x = pixel_grid(cameras.width, cameras.height)[..., 0] / cameras.width * 8
    covered = (x < 3.25).float().expand(len(cameras), -1, -1)
    return Rendering(covered[..., None].expand(-1, -1, -1, 3), covered, covered)


def test_pixels_are_averages_over_their_squares():
    cameras = Cameras.from_focal(turntable(5, 4.0, 0.3), 10.0, 8, 4)
    told: list[tuple[int, int]] = []
    views = make_views(half_plane, cameras, 4, lambda done, total: told.append((done, total)))
    assert views.images.shape == (5, 4, 8, 4)
    expected = torch.tensor([1.0, 1, 1, 0.25, 0, 0, 0, 0]).expand(5, 4, 8)
    for channel in range(4):
        torch.testing.assert_close(views.images[..., channel], expected)
    assert told[-1] == (5, 5)
    assert views.depths is None
    assert views.cameras.world_from_camera is cameras.world_from_camera


def test_one_ray_a_pixel_without_supersampling():
    cameras = Cameras.from_focal(turntable(2, 4.0, 0.3), 10.0, 8, 4)
    assert make_views(half_plane, cameras, 1).images[0, 0, 3].sum() == 0


def test_statistics_are_those_the_cameras_were_drawn_with():
    poses = spherical_shell(
        3000, (3.0, 5.0), torch.Generator().manual_seed(0), elevation=(0.1, 1.2)
    )
    radius, elevation = camera_statistics(Cameras.from_focal(poses, 10.0, 8, 8))
    assert radius == pytest.approx((3, 5), abs=0.01)
    assert elevation == pytest.approx((0.1, 1.2), abs=0.01)


def test_statistics_of_a_circle_are_two_points():
    cameras = Cameras.from_focal(turntable(7, 4.0, math.radians(30)), 10.0, 8, 8)
    radius, elevation = camera_statistics(cameras)
    assert radius == pytest.approx((4, 4))
    assert elevation == pytest.approx((math.pi / 6, math.pi / 6))

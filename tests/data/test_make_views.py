"""Datasets rendered from a model."""

import torch

from unrender.data.make_views import make_views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.pixels import pixel_grid
from unrender.rendering.renderer import Rendering


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

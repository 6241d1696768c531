"""Interpolation of a light field as a baseline."""

import pytest
import torch
from textured_planes import cameras_at, grid_cameras, plane_images, plane_views

from unrender.errors import InputError
from unrender.evaluation.light_fields import best_focus, quadrilinear


def test_the_baseline_is_the_scene_where_that_is_a_plane() -> None:
    targets = cameras_at(torch.tensor([0.03, -0.07]), torch.tensor([0.05, 0.01]))
    images = quadrilinear(plane_views(grid_cameras(3, 3)), targets, 2.0)
    truth = plane_images(targets, 2.0)
    inner = (slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(images[..., :3][inner], truth[inner], rtol=0, atol=4e-3)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (1, 5), (3, 2)])
def test_the_best_focus_is_found_on_views_between_others(rows: int, columns: int) -> None:
    views = plane_views(grid_cameras(rows, columns), 1.7)
    assert best_focus(views) == pytest.approx(1.7, rel=0.05)


def test_two_by_two_views_have_none_between() -> None:
    with pytest.raises(InputError, match="2 rows and 2 columns: has no view between"):
        best_focus(plane_views(grid_cameras(2, 2)))

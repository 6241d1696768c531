"""Depths at which images agree."""

import pytest
import torch
from textured_planes import SIZE, grid_cameras, plane_images

from unrender.rendering.plane_sweep import (
    depth_range,
    focus_depth,
    middle_cameras,
    plane_sweep,
)


@pytest.mark.parametrize("depth", [1.2, 2.0, 4.0])
def test_images_of_a_plane_agree_at_its_depth(depth: float) -> None:
    cameras = grid_cameras(3, 3)
    images = plane_images(cameras, depth)
    tried = torch.tensor([0.8 * depth, depth, 1.25 * depth])
    cost = plane_sweep(images, cameras, cameras[4], tried)
    inner = cost[:, 8:-8, 8:-8]
    assert bool((inner.argmin(0) == 1).all())
    assert float(inner[1].max()) < 1e-4
    order = middle_cameras(cameras)
    found = focus_depth(images[order], cameras.select(order))
    assert found == pytest.approx(depth, rel=0.1)


def test_the_depth_range_is_that_of_two_planes() -> None:
    cameras = grid_cameras(3, 3, 0.05)
    near, far = plane_images(cameras, 1.2, 3.0), plane_images(cameras, 3.0, 3.0)
    images = torch.cat([near[:, :, : SIZE[0] // 2], far[:, :, SIZE[0] // 2 :]], dim=2)
    order = middle_cameras(cameras)
    low, middle, high = depth_range(images[order], cameras.select(order))
    assert low == pytest.approx(1.2, rel=0.1)
    assert 2.5 < high < 6
    assert low <= middle <= high


def test_a_point_that_fewer_than_two_see_is_not_compared() -> None:
    cameras = grid_cameras(1, 2, 9.0)
    cost = plane_sweep(plane_images(cameras, 2.0), cameras, cameras[0], torch.tensor([2.0]))
    assert bool(cost.isinf().all())


def test_the_middle_camera_comes_first() -> None:
    cameras = grid_cameras(5, 5)
    assert middle_cameras(cameras).tolist()[0] == 12
    assert set(middle_cameras(cameras).tolist()) == {6, 7, 8, 11, 12, 13, 16, 17, 18}
    one_place = cameras.select(torch.tensor([3, 3, 3]))
    assert len(middle_cameras(one_place)) == 1

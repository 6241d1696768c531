"""Cameras in rows and columns, some missing or unevenly spaced."""

import pytest
import torch
from textured_planes import STEP, cameras_at, grid_cameras

from unrender.errors import InputError
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras

SHUFFLED = torch.tensor([5, 2, 8, 0, 3, 7, 1, 6, 4])


def test_rows_and_columns_are_found_in_any_order() -> None:
    cameras = grid_cameras(3, 3)
    grid = CameraGrid.of("views", cameras.select(SHUFFLED))
    torch.testing.assert_close(grid.columns, STEP * torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(grid.rows, STEP * torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.equal(SHUFFLED[grid.camera].flatten(), torch.arange(9))
    assert (grid.num_holes, grid.uneven) == (0, False)
    assert int(SHUFFLED[grid.middle]) == 4
    assert grid.extent == pytest.approx((2 * STEP, 2 * STEP))


def test_weights_sum_to_one_and_reproduce_positions() -> None:
    """Linear precision: the weighted mean of the cameras' positions is the position."""
    across = torch.tensor([0.0, 1.0, 2.5, 3.0])
    right, down = across.repeat(3), torch.tensor([0.0, 1.0, 2.0]).repeat_interleave(4)
    cameras = cameras_at(right, down)
    grid = CameraGrid.of("views", cameras)
    assert grid.uneven
    center = torch.stack([right.mean(), down.mean()])
    places = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    places = places * torch.tensor([3.0, 2.0]) - center
    numbers, weights = grid.weights(places)
    torch.testing.assert_close(weights.sum(1), torch.ones(200))
    assert bool((weights >= 0).all())
    positions = torch.stack([right, down], dim=1) - center
    mean = (weights[..., None] * positions[numbers]).sum(1)
    torch.testing.assert_close(mean, places, rtol=1e-5, atol=1e-5)


def test_positions_outside_take_the_nearest_cameras() -> None:
    grid = CameraGrid.of("views", grid_cameras(3, 3))
    places = torch.tensor([[9.0, 0.0], [-9.0, -9.0]])
    numbers, weights = grid.weights(places)
    assert [int(row[w.argmax()]) for row, w in zip(numbers, weights, strict=True)] == [5, 0]
    assert grid.contains(places).tolist() == [False, False]
    assert grid.contains(torch.zeros(1, 2)).tolist() == [True]


def test_the_nearest_camera_stands_in_for_a_missing_one() -> None:
    kept = torch.tensor([0, 1, 2, 3, 5, 6, 7])
    grid = CameraGrid.of("views", grid_cameras(3, 3).select(kept))
    assert grid.num_holes == 2
    assert not bool(grid.present[1, 1])
    assert not bool(grid.present[2, 2])
    assert int(kept[grid.camera[1, 1]]) in (1, 3, 5, 7)
    assert int(kept[grid.camera[2, 2]]) in (5, 7)


@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (5, 1)])
def test_one_row_is_a_grid(rows: int, columns: int) -> None:
    grid = CameraGrid.of("views", grid_cameras(rows, columns))
    assert (len(grid.rows), len(grid.columns)) == (rows, columns)
    _, weights = grid.weights(torch.tensor([[0.3 * STEP, 0.3 * STEP]]))
    torch.testing.assert_close(weights.sum(1), torch.ones(1))


def staggered() -> Cameras:
    poses = grid_cameras(3, 3).world_from_camera.clone()
    poses[:, 1, 3] += 0.1 * torch.arange(9)
    return grid_cameras(3, 3).with_poses(poses)


def scattered() -> Cameras:
    places = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    return cameras_at(places[:, 0], places[:, 1])


@pytest.mark.parametrize(
    ("cameras", "told"),
    [
        (Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)]), "look up to 180° apart"),
        (grid_cameras(1, 1), "has 1 view"),
        (grid_cameras(3, 3).select(torch.tensor([4, 4, 4])), "stand in one place"),
        (scattered(), "too many places of which are empty"),
        (staggered(), "in front of one another, up to 0.4 off a plane"),
    ],
)
def test_what_is_no_grid_is_one_line(cameras: Cameras, told: str) -> None:
    with pytest.raises(InputError) as error:
        CameraGrid.of("scene", cameras)
    assert str(error.value).startswith("scene: ")
    assert told in str(error.value)
    assert len(str(error.value)) <= 300

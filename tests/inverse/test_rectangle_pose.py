"""Poses and focal length from the outline of a rectangle of known size."""

import math

import pytest
import torch
from card_pictures import SIZE, card_cameras, card_picture

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at, so3_distance
from unrender.inverse.rectangle_outline import find_rectangle
from unrender.inverse.rectangle_pose import rectangle_corners, rectangle_poses

CENTER = torch.tensor([200.0, 150.0]).double()


def seen_corners(cameras: Cameras) -> torch.Tensor:
    """Pixels [cameras, 4, 2] of the card's corners."""
    corners = rectangle_corners(SIZE).float()
    index = torch.arange(len(cameras)).repeat_interleave(4)
    return cameras.project(index, corners.repeat(len(cameras), 1))[0].view(-1, 4, 2).double()


def degrees_apart(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    return so3_distance(found[:, :, :3], true[:, :, :3].to(found)) * 180 / math.pi


@pytest.mark.parametrize("focal", [None, 460.0])
def test_cameras_follow_from_exact_corners(focal: float | None) -> None:
    cameras = card_cameras(6)
    view = rectangle_poses(seen_corners(cameras), SIZE, CENTER, focal)
    true = cameras.world_from_camera.double()
    assert view.focal == pytest.approx(460, rel=1e-4)
    assert float(degrees_apart(view.world_from_camera, true).max()) < 0.01
    torch.testing.assert_close(view.world_from_camera, true, atol=0.02, rtol=0)
    assert float(view.errors.max()) < 1e-3


def test_an_error_of_a_pixel_is_one_of_half_a_degree() -> None:
    cameras = card_cameras(12)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(12, 4, 2, generator=generator).double() * 0.5
    view = rectangle_poses(seen_corners(cameras) + noise, SIZE, CENTER)
    away = degrees_apart(view.world_from_camera, cameras.world_from_camera)
    assert 0.05 < float(away.median()) < 0.7
    assert 0.1 < float(view.errors.mean()) < 0.7
    assert view.focal == pytest.approx(460, rel=0.03)


def test_a_rectangle_seen_from_the_front_tells_no_focal_length() -> None:
    eyes = torch.tensor([[0.0, 0.0, 200.0], [0.0, 0.0, 300.0]])
    poses = look_at(eyes, torch.zeros(2, 3), torch.tensor([0.0, 1.0, 0.0]))
    corners = seen_corners(Cameras.from_focal(poses, 460.0, 400, 300))
    with pytest.raises(InputError, match="which does not tell the focal length: take some"):
        rectangle_poses(corners, SIZE, CENTER)
    view = rectangle_poses(corners, SIZE, CENTER, 460.0)
    assert float(degrees_apart(view.world_from_camera, poses).max()) < 0.1


def test_outlines_are_found_to_a_fraction_of_a_pixel_though_corners_are_round() -> None:
    cameras = card_cameras(4)
    for camera, true in zip(cameras, seen_corners(cameras), strict=True):
        found = find_rectangle(card_picture(camera))
        assert found is not None
        away = torch.stack([(found.roll(k, 0) - true).norm(dim=1).max() for k in range(4)])
        assert float(away.min()) < 0.4


def test_a_card_that_is_not_whole_in_the_image_and_no_card_have_no_outline() -> None:
    camera = card_cameras(3)[1]
    assert find_rectangle(card_picture(camera, card=False)) is None
    image = card_picture(camera)
    found = find_rectangle(image)
    assert found is not None
    middle = int(found[:, 0].mean())
    cut = find_rectangle(image[:, :middle])
    # A smaller rectangle, which is printed on it, may be whole.
    assert cut is None or float((cut.amax(0) - cut.amin(0)).max()) < 100
    assert find_rectangle(torch.full((60, 80, 3), 0.5)) is None

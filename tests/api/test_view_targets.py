"""Laws of the cameras that novel views are made from."""

import math

import pytest
import torch

from unrender.api.cameras import film, interpolate, spiral, turntable
from unrender.api.view_targets import check_outside, moved, offsets, placed
from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, se3_exp
from unrender.geometry.spherical import spherical_from_position

CENTER = torch.tensor([1.0, -2.0, 0.5])


def views(*eyes: tuple[float, float, float], ball: bool = True) -> Views:
    cameras = Cameras.look_at(
        (torch.tensor(eyes) + CENTER), tuple(CENTER.tolist()), size=(16, 16)
    )
    known = torch.cat([CENTER, torch.tensor([0.5])]) if ball else None
    return Views(cameras, torch.zeros(len(eyes), 16, 16, 4), ball=known)


def angles(cameras: Cameras) -> tuple[list[float], list[float], list[float]]:
    """Azimuths, elevations and distances about the center, in degrees."""
    found = spherical_from_position(cameras.centers, CENTER)
    azimuth, elevation = (each.rad2deg().tolist() for each in (found.azimuth, found.elevation))
    return azimuth, elevation, found.radius.tolist()


def look_at_center(cameras: Cameras, tolerance: float = 1e-3) -> bool:
    number = torch.arange(len(cameras))
    pixels, depth = cameras.project(number, CENTER.expand(len(cameras), 3))
    return bool(((pixels - 8).abs() < tolerance).all() & (depth > 0).all())


def test_a_turntable_about_one_view_begins_there_and_goes_around() -> None:
    one = views((2.0, 0.0, 1.0))
    path = placed(turntable(8), one, all_around=True)
    azimuth, elevation, distance = angles(path)
    assert torch.allclose(
        path.world_from_camera[0], one.cameras.world_from_camera[0], atol=1e-3
    )
    turned = torch.tensor(azimuth) - 45 * torch.arange(8)
    assert torch.allclose((turned / 360).round() * 360, turned, atol=1e-2)
    assert elevation == pytest.approx([elevation[0]] * 8, abs=1e-3)
    assert distance == pytest.approx([5**0.5] * 8, rel=1e-3)
    assert look_at_center(path, tolerance=0.01)


def test_a_turntable_obeys_its_elevation_and_radius() -> None:
    path = placed(turntable(5, elevation=10.0, radius=7.0), views((2, 0, 1)), all_around=True)
    _, elevation, distance = angles(path)
    assert elevation == pytest.approx([10] * 5, abs=1e-2)
    assert distance == pytest.approx([7] * 5, rel=1e-3)


def test_a_film_of_one_view_goes_around() -> None:
    path = placed(film(8), views((2, 0, 1)), all_around=True)
    assert max(angles(path)[0]) > 130


def test_a_spiral_stays_near_one_view() -> None:
    path = placed(spiral(30), views((2.0, 0.0, 1.0)), all_around=True)
    azimuth, elevation, _ = angles(path)
    assert 5 < max(map(abs, azimuth)) < 25
    assert max(abs(each - math.degrees(math.atan(0.5))) for each in elevation) < 15
    assert look_at_center(path, tolerance=0.5)


def test_a_spiral_about_a_view_from_above_stays_below_the_pole() -> None:
    placed(spiral(10), views((0.05, 0.0, 2.0)), all_around=True)


def test_between_one_view_there_is_nothing() -> None:
    with pytest.raises(InputError, match="one input"):
        placed(interpolate(5), views((2, 0, 1)), all_around=True)
    assert len(placed(interpolate(5), views((2, 0, 1), (0, 2, 1)), all_around=True)) == 5


def test_a_scene_has_the_paths_that_runs_have() -> None:
    known = views(*((2 * math.cos(k), 2 * math.sin(k), 1.0) for k in range(9)))
    path, same = placed(turntable(7), known), turntable(7).cameras(known)
    assert torch.equal(path.world_from_camera, same.world_from_camera)


def test_offsets_are_from_the_first_input() -> None:
    known = views((2.0, 0.0, 0.0), (0.0, 2.0, 1.0))
    path = placed(offsets([0, 90, -45], [0, 30]), known)
    azimuth, elevation, distance = angles(path)
    assert azimuth == pytest.approx([0, 90, -45] * 2, abs=1e-3)
    assert elevation == pytest.approx([0, 0, 0, 30, 30, 30], abs=1e-3)
    assert distance == pytest.approx([2] * 6, rel=1e-5)
    assert look_at_center(path)
    with pytest.raises(InputError, match="past the pole"):
        placed(offsets([0], [95]), known)


def test_moves_do_not_know_the_frame_of_the_world() -> None:
    """Where the cameras' up direction is another than z."""
    one = views((2.0, 0.5, 0.6))
    motion = se3_exp(torch.tensor([1.9, 0.2, -0.4, 3.0, 1.0, 2.0]))[None]
    turned = one.cameras.with_poses(compose(motion, one.cameras.world_from_camera))
    center = motion[0, :, :3] @ CENTER + motion[0, :, 3]
    steps = [(0.7, 0.0), (0.0, 0.0), (-2.0, 0.0)]
    here, there = moved(one.cameras, CENTER, steps), moved(turned, center, steps)
    # The image's upwards is not the world's, so that only what is about it is compared.
    assert torch.allclose(
        (here.centers - CENTER).norm(dim=1), (there.centers - center).norm(dim=1), atol=1e-4
    )


def test_the_ball_is_the_given_or_where_cameras_look() -> None:
    known = views((2, 0, 1), (0, 2, 1))
    assert torch.equal(object_ball(known), known.ball)
    found = object_ball(views((2, 0, 1), (0, 2, 1), (-2, 0, 1), ball=False))
    assert torch.allclose(found[:3], CENTER, atol=1e-3)
    assert 0 < float(found[3]) <= 5**0.5 / 2


def test_one_camera_looks_at_the_origin_or_past_it() -> None:
    image = torch.zeros(1, 16, 16, 4)
    centered = Views(Cameras.look_at((3, 0, 1), size=(16, 16)), image)
    assert torch.allclose(object_ball(centered)[:3], torch.zeros(3), atol=1e-5)
    aside = Views(Cameras.look_at((3, 1, 0), (0, 1, 0), size=(16, 16)), image)
    assert torch.allclose(object_ball(aside)[:3], torch.tensor([0.0, 1, 0]), atol=1e-5)


def test_a_camera_inside_the_object_is_refused() -> None:
    known = views((2, 0, 1), (0.3, 0, 0.2))
    check_outside(known.cameras[:1], object_ball(known))
    with pytest.raises(InputError, match="camera 1: is inside the object") as told:
        check_outside(known.cameras, object_ball(known))
    assert len(str(told.value)) < 300

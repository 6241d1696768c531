"""Laws of the distance between cameras, and of the nearest views."""

import math
from itertools import pairwise

import pytest
import torch

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import camera_distances, nearest_views
from unrender.geometry.paths import spherical_shell, spread_out, turntable
from unrender.geometry.poses import compose, se3_exp

CENTER = torch.zeros(3)


def shell(count: int, seed: int = 0) -> Cameras:
    poses = spherical_shell(count, (2.0, 3.0), torch.Generator().manual_seed(seed))
    return Cameras.from_focal(poses, 40.0, 32, 32)


def test_it_is_a_distance() -> None:
    cameras = shell(12)
    apart = camera_distances(cameras, cameras, CENTER)
    assert torch.equal(apart.diagonal(), torch.zeros(12))
    assert torch.allclose(apart, apart.T, atol=1e-5)
    assert bool((apart + torch.eye(12) > 0).all())
    around = apart[:, :, None] + apart[None]
    assert bool((apart[:, None] <= around + 1e-5).all())


def test_it_is_that_of_a_circle() -> None:
    """Cameras at 30° of each other on a circle about the center."""
    ring = Cameras.from_focal(turntable(12, 5.0, 0.0), 40.0, 32, 32)
    found = camera_distances(ring[:1], ring, CENTER)[0, 1]
    angle = math.radians(30)
    assert float(found) == pytest.approx(2 * math.sin(angle / 2) + angle, abs=1e-5)
    alone = camera_distances(ring[:1], ring, CENTER, rotation_only=True)[0, 1]
    assert float(alone) == pytest.approx(angle, abs=1e-5)


def test_it_does_not_know_the_frame_or_the_scale_of_the_world() -> None:
    cameras = shell(9)
    before = camera_distances(cameras, cameras[:4], CENTER)
    poses = cameras.world_from_camera.clone()
    poses[:, :, 3] *= 7
    motion = se3_exp(torch.tensor([0.3, -0.9, 0.4, 20.0, 3.0, -5.0]))
    moved = compose(motion.expand(9, 3, 4), poses)
    center = motion[:, 3]
    there = cameras.with_poses(moved)
    after = camera_distances(there, there[:4], center)
    assert torch.allclose(before, after, atol=1e-4)


def test_the_nearest_equal_brute_force_and_come_in_order() -> None:
    queries, known = shell(5, seed=1), shell(20)
    found = nearest_views(queries, known, CENTER, count=3)
    for query, row in zip(queries, found.tolist(), strict=True):
        # The unit of length depends on all known cameras.
        scale = float(known.centers.norm(dim=1).mean())
        turned = camera_distances(query, known, CENTER, rotation_only=True)[0]
        apart = (query.centers - known.centers).norm(dim=1) / scale + turned
        assert row == apart.argsort()[:3].tolist()


def test_a_known_camera_is_nearest_to_itself() -> None:
    known = shell(20)
    assert nearest_views(known, known, CENTER)[:, 0].tolist() == list(range(20))


def test_rotation_alone_does_not_see_a_move_along_the_axis() -> None:
    near = Cameras.look_at([(2, 0, 0), (8, 0, 0), (1.8, 1.2, 0)])
    query = Cameras.look_at((2.1, 0, 0))
    assert nearest_views(query, near, CENTER, 2)[0].tolist() == [0, 2]
    assert nearest_views(query, near, CENTER, 2, rotation_only=True)[0].tolist() == [0, 1]


@pytest.mark.parametrize("count", [0, 4])
def test_there_are_only_so_many(count: int) -> None:
    with pytest.raises(InputError, match="give 1 to 3"):
        nearest_views(shell(1), shell(3), CENTER, count)


def test_fewer_spread_out_cameras_are_among_more() -> None:
    cameras = shell(40)
    chosen = [set(spread_out(cameras, count, first=7)) for count in (1, 3, 10, 40)]
    assert [len(each) for each in chosen] == [1, 3, 10, 40]
    assert chosen[0] == {7}
    assert all(few < more for few, more in pairwise(chosen))


def test_spread_out_cameras_are_farther_apart_than_the_first() -> None:
    cameras = shell(40)

    def closest(index: list[int]) -> float:
        some = cameras.select(torch.tensor(index))
        apart = camera_distances(some, some, CENTER) + 9 * torch.eye(len(index))
        return float(apart.min())

    assert closest(spread_out(cameras, 6)) > 1.5 * closest(list(range(6)))

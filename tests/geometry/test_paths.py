"""Laws of camera paths."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import coverage, upwards
from unrender.geometry.paths import (
    NEIGHBORS,
    between,
    orbit,
    spherical_shell,
    spiral,
    turntable,
)
from unrender.geometry.poses import compose, look_at, se3_exp, so3_distance


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def largest_gap(samples: Tensor, low: float, high: float) -> float:
    """The Kolmogorov-Smirnov distance between samples and the uniform law on [low, high]."""
    ranks = (torch.arange(len(samples)) + 0.5) / len(samples)
    return ((samples.sort().values - low) / (high - low) - ranks).abs().max().item()


@pytest.mark.parametrize("elevation", [(-math.pi / 2, math.pi / 2), (-0.2, 1.0)])
def test_the_shell_is_uniform_over_area_and_radius(elevation: tuple[float, float]) -> None:
    count = 4000
    eye = spherical_shell(count, (3.0, 5.0), seeded(), elevation)[..., 3]
    # Of uniform samples the distance exceeds 1.95 / sqrt(n) once in a thousand.
    bound = 1.95 / count**0.5
    radius = eye.norm(dim=-1)
    assert largest_gap(radius, 3, 5) < bound
    # Archimedes: equal areas of a sphere have equal heights.
    low, high = math.sin(elevation[0]), math.sin(elevation[1])
    assert largest_gap(eye[:, 2] / radius, low, high) < bound
    assert largest_gap(torch.atan2(eye[:, 1], eye[:, 0]), -math.pi, math.pi) < bound


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.floats(0.1, 10),
    st.floats(0, 10),
    st.floats(-math.pi / 2, math.pi / 2),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_the_shell_keeps_to_its_ranges(
    near: float, thickness: float, lowest: float, share: float, seed: int
) -> None:
    highest = lowest + share * (math.pi / 2 - lowest)
    far = near + thickness
    pose = spherical_shell(
        50, (near, far), seeded(seed), (lowest, highest), (0.5, 1.0), roll=0.3
    )
    eye = pose[..., 3]
    radius = eye.norm(dim=-1)
    assert ((radius >= near * (1 - 1e-5)) & (radius <= far * (1 + 1e-5))).all()
    sine = eye[:, 2] / radius
    assert (sine >= math.sin(lowest) - 1e-5).all()
    assert (sine <= math.sin(highest) + 1e-5).all()
    ring = eye[:, :2].norm(dim=-1) > 1e-3 * radius
    azimuth = torch.atan2(eye[:, 1], eye[:, 0])[ring]
    assert ((azimuth >= 0.5 - 1e-3) & (azimuth <= 1.0 + 1e-3)).all()
    torch.testing.assert_close(pose[..., 2], -eye / radius[:, None], rtol=0, atol=1e-5)
    identity = torch.eye(3).expand(50, 3, 3)
    torch.testing.assert_close(pose[..., :3].mT @ pose[..., :3], identity, rtol=0, atol=1e-5)


def test_the_same_seed_draws_the_same_cameras() -> None:
    first = spherical_shell(10, (3.0, 4.0), seeded(1), roll=0.1, look_at_jitter=0.2)
    assert torch.equal(
        first, spherical_shell(10, (3.0, 4.0), seeded(1), roll=0.1, look_at_jitter=0.2)
    )
    assert not torch.equal(first, spherical_shell(10, (3.0, 4.0), seeded(2)))


def test_roll_is_uniform_and_bounded() -> None:
    count, roll = 2000, 0.4
    level = spherical_shell(count, (3.0, 3.0), seeded())
    rolled = spherical_shell(count, (3.0, 3.0), seeded(), roll=roll)
    torch.testing.assert_close(rolled[..., 2:], level[..., 2:])
    turn = torch.asin((rolled[..., 0] * level[..., 1]).sum(-1))
    assert largest_gap(turn, -roll, roll) < 1.95 / count**0.5


def test_jitter_moves_the_target_within_a_ball() -> None:
    pose = spherical_shell(2000, (3.0, 5.0), seeded(), look_at_jitter=0.5)
    eye, forward = pose[..., 3], pose[..., 2]
    missed = torch.linalg.cross(eye, forward).norm(dim=-1)
    assert missed.max() <= 0.5 + 1e-5
    # A point uniform in a unit ball is 3π/16 from a line through its centre, on average.
    assert missed.mean().item() == pytest.approx(0.5 * 3 * math.pi / 16, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": (5.0, 3.0)}, "radius 5 to 3"),
        ({"radius": (0.0, 3.0)}, "radius 0 to 3"),
        ({"radius": (math.nan, 3.0)}, "radius nan to 3"),
        ({"radius": (1.0, math.inf)}, "radius 1 to inf"),
        ({"radius": (3.0, 5.0), "elevation": (1.0, 0.5)}, "elevation 57.29.* to 28.6"),
        ({"radius": (3.0, 5.0), "elevation": (-2.0, 0.0)}, "elevation -114.* to 0"),
        ({"radius": (3.0, 5.0), "look_at_jitter": 3.0}, "jitter 3"),
        ({"radius": (3.0, 5.0), "look_at_jitter": -1.0}, "jitter -1"),
    ],
)
def test_impossible_ranges_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spherical_shell(2, generator=seeded(), **options)  # type: ignore[arg-type]


def test_the_turntable_goes_round_once_at_equal_steps() -> None:
    pose = turntable(12, radius=4.0, elevation=0.5)
    eye = pose[..., 3]
    torch.testing.assert_close(eye.norm(dim=-1), torch.full((12,), 4.0))
    torch.testing.assert_close(eye[:, 2], torch.full((12,), 4 * math.sin(0.5)))
    step = 2 * math.pi / 12
    azimuth = torch.atan2(eye[:, 1], eye[:, 0])
    turned = (azimuth.roll(-1) - azimuth) % (2 * math.pi)
    torch.testing.assert_close(turned, torch.full((12,), step))
    # All steps turn the camera by the same angle, the last one back to the first included.
    steps = so3_distance(pose[..., :3], pose.roll(-1, 0)[..., :3])
    torch.testing.assert_close(steps, steps[:1].expand(12))
    cameras = Cameras.from_focal(pose, 50.0, width=20, height=20)
    pixel, depth = cameras.project(torch.arange(12), torch.zeros(12, 3))
    torch.testing.assert_close(pixel, torch.full((12, 2), 10.0), rtol=0, atol=1e-4)
    torch.testing.assert_close(depth, torch.full((12,), 4.0))


def test_several_turns_take_larger_steps() -> None:
    eye = turntable(3, radius=2.0, elevation=0.0, turns=1.5)[..., 3]
    torch.testing.assert_close(eye[1], torch.tensor([-2.0, 0.0, 0.0]), rtol=0, atol=1e-5)


def test_a_spiral_stays_among_the_cameras_and_looks_where_they_look() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(20, 3, generator=generator) * torch.tensor([2.0, 1.0, 0.3])
    target = torch.tensor([1.0, 0.5, 8.0])
    poses = look_at(places, target.expand(20, 3), torch.tensor([0.0, 1.0, 0.0]))
    found = spiral(Cameras.from_focal(poses, 40.0, 32, 24), 30)
    assert len(found) == 30
    assert (found.width, found.height) == (32, 24)
    away = (found.centers - places.mean(0)).abs().amax(0)
    assert bool((away < (places - places.mean(0)).abs().amax(0)).all())
    pixel, depth = found.project(torch.arange(30), target.expand(30, 3))
    torch.testing.assert_close(
        pixel, torch.tensor([16.0, 12.0]).expand(30, 2), atol=0.2, rtol=0
    )
    assert bool((depth > 0).all())
    # Upright as they are.
    assert bool((found.rotations[:, 1, 1] < -0.9).all())


def on_one_side(seed: int, arc: float, count: int = 24) -> Cameras:
    """Cameras at random azimuths of an arc, elevations and distances, in a tilted world."""
    drawn = torch.rand(count, 3, generator=seeded(seed))
    azimuth = arc * (drawn[:, 0] - 0.5)
    azimuth[:2] = torch.tensor([-arc / 2, arc / 2])
    elevation, distance = 0.1 + 0.6 * drawn[:, 1], 3 + 2 * drawn[:, 2]
    ring = distance * elevation.cos()
    eyes = torch.stack([ring * azimuth.cos(), ring * azimuth.sin()], 1)
    eyes = torch.cat([eyes, (distance * elevation.sin())[:, None]], dim=1)
    poses = look_at(eyes, torch.zeros(count, 3), torch.tensor([0.0, 0.0, 1.0]))
    motion = se3_exp(torch.tensor([[1.2, 0.4, -0.3, 5.0, -3.0, 2.0]])).expand(count, 3, 4)
    return Cameras.from_focal(compose(motion, poses), 40.0, 32, 24)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0.1, 4.5), st.integers(2, 40))
def test_a_turntable_keeps_to_the_photographed_side(seed: int, arc: float, frames: int) -> None:
    """Within the arc, the elevations and the distances from which there are photographs."""
    cameras = on_one_side(seed, arc)
    side = coverage(cameras)
    assert not side.surrounds
    found = orbit(cameras, frames)
    away = (found.centers - side.center) @ side.axes
    distance = away.norm(dim=1)
    turned = (torch.atan2(away[:, 1], away[:, 0]) - side.start) % (2 * math.pi)
    assert bool((turned <= side.arc).all())
    elevation = (away[:, 2] / distance).asin()
    for values, seen in ((elevation, side.elevations), (distance, side.distances)):
        assert bool((values >= seen.min() - 1e-4).all())
        assert bool((values <= seen.max() + 1e-4).all())
    forward = (side.center - found.centers) / distance[:, None]
    torch.testing.assert_close(found.rotations[:, :, 2], forward, atol=1e-4, rtol=0)
    # There and back: the last frames are the first ones in the other direction.
    back = found.centers[1:].flip(0)
    torch.testing.assert_close(found.centers[1:], back, atol=2e-3, rtol=0)


def test_what_a_turntable_is_told_is_obeyed() -> None:
    cameras = on_one_side(0, 2.0)
    side = coverage(cameras)
    away = (orbit(cameras, 7, 1.2, 9.0).centers - side.center) @ side.axes
    torch.testing.assert_close(away.norm(dim=1), torch.full((7,), 9.0))
    torch.testing.assert_close(away[:, 2] / 9, torch.full((7,), math.sin(1.2)))


def test_a_turntable_follows_cameras_that_surround_at_different_distances() -> None:
    """Near on one side and far on the other, as they are where a wall stands on one side."""
    azimuth = torch.arange(24) / 24 * 2 * math.pi
    distance = 4 + azimuth.cos()
    eyes = distance[:, None] * torch.stack(
        [azimuth.cos(), azimuth.sin(), 0.5 + 0 * azimuth], dim=1
    )
    poses = look_at(eyes, torch.zeros(24, 3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras.from_focal(poses, 40.0, 32, 24)
    side = coverage(cameras)
    assert side.surrounds
    found = (orbit(cameras, 24).centers - side.center).norm(dim=1)
    assert (
        float((found.max() - found.min()) / (side.distances.max() - side.distances.min())) > 0.7
    )
    near = (orbit(cameras, 24).centers - side.center)[:, None] - (cameras.centers - side.center)
    assert float(near.norm(dim=2).amin(1).max()) < 0.7


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0.3, 4.5))
def test_random_cameras_are_among_those_given(seed: int, arc: float) -> None:
    """As far from the focus as they are, near one of them, and looking where they look."""
    cameras = on_one_side(seed, arc)
    side = coverage(cameras)
    poses = between(cameras, 200, seeded(seed))
    identity = torch.eye(3).expand(200, 3, 3)
    torch.testing.assert_close(
        poses[:, :, :3].mT @ poses[:, :, :3], identity, atol=1e-4, rtol=0
    )
    distance = (poses[:, :, 3] - side.center).norm(dim=1)
    assert bool((distance >= side.distances.min() - 1e-4).all())
    assert bool((distance <= side.distances.max() + 1e-4).all())
    apart = so3_distance(cameras.rotations[:, None], cameras.rotations[None])
    reach = apart.sort(1).values[:, 1 : NEIGHBORS + 1].max() + 0.2
    found = so3_distance(poses[:, None, :, :3], cameras.rotations[None]).amin(1)
    assert bool((found <= reach).all())
    # They look at what the given ones look at, and the same seed draws the same.
    forward = (side.center - poses[:, :, 3]) / distance[:, None]
    given_off = (
        (side.center - cameras.centers) / side.distances[:, None] * cameras.rotations[:, :, 2]
    )
    slack = given_off.sum(1).clamp(-1, 1).acos().max() + 0.2
    assert bool(((forward * poses[:, :, 2]).sum(1) >= math.cos(slack)).all())
    assert torch.equal(poses, between(cameras, 200, seeded(seed)))
    rolled = between(cameras, 200, seeded(seed), roll=0.3)
    torch.testing.assert_close(rolled[:, :, 2:], poses[:, :, 2:], atol=1e-5, rtol=0)
    assert 0.05 < float(so3_distance(rolled[:, :, :3], poses[:, :, :3]).max()) < 0.31


def test_objects_at_the_origin_are_told_from_captures() -> None:
    around = Cameras.from_focal(turntable(12, 4.0, 0.6), 40.0, 32, 24)
    assert coverage(around).on_sphere
    moved = around.world_from_camera.clone()
    moved[:, :, 3] += 1.0
    assert not coverage(around.with_poses(moved)).on_sphere
    aside = around.with_poses(
        compose(
            around.world_from_camera,
            se3_exp(torch.tensor([[0.0, 0.2, 0.0, 0.0, 0.0, 0.0]]).expand(12, 6)),
        )
    )
    assert not coverage(aside).on_sphere
    assert not coverage(on_one_side(0, 2.0)).on_sphere


def test_cameras_that_look_one_way_are_told_from_others() -> None:
    places = torch.rand(20, 3, generator=seeded()) * torch.tensor([2.0, 1.0, 0.3])
    target = torch.tensor([1.0, 0.5, 8.0]).expand(20, 3)
    ahead = look_at(places, target, torch.tensor([0.0, 1.0, 0.0]))
    assert coverage(Cameras.from_focal(ahead, 40.0, 32, 24)).one_way
    assert not coverage(Cameras.from_focal(turntable(12, 4.0, 0.6), 40.0, 32, 24)).one_way
    assert not coverage(on_one_side(0, 2.5)).one_way


def test_an_orbit_goes_with_the_world_of_its_cameras() -> None:
    """Cameras anywhere and tilted: the orbit is theirs, moved like them."""
    # The focus is drawn a little to the cameras' mean.
    close = functools.partial(torch.testing.assert_close, rtol=0, atol=2e-3)
    cameras = Cameras.from_focal(turntable(12, 4.0, 0.6), 40.0, 32, 24)
    plain = orbit(cameras, 8, 0.3, None)
    close(plain.world_from_camera, turntable(8, 4.0, 0.3))
    motion = se3_exp(torch.tensor([[1.2, 0.4, -0.3, 5.0, -3.0, 2.0]]))
    moved = cameras.with_poses(compose(motion.expand(12, 3, 4), cameras.world_from_camera))
    found = orbit(moved, 8, 0.3, 3.0)
    rotation, shift = motion[0, :, :3], motion[0, :, 3]
    close(upwards(moved), rotation[:, 2])
    away = (found.centers - shift) @ rotation
    close(away.norm(dim=1), torch.full((8,), 3.0))
    close(away[:, 2], torch.full((8,), 3 * math.sin(0.3)))
    close(found.rotations[:, :, 2] @ rotation, -away / 3)
    assert (found.rotations[:, :, 1] @ upwards(moved) < 0).all()
    assert (found.width, found.height) == (32, 24)


def test_cameras_that_agree_on_no_direction_have_z_as_up() -> None:
    about = torch.tensor([[1.0, 0.0, 0.0]]) * torch.linspace(0, 2 * math.pi, 9)[:-1, None]
    poses = se3_exp(torch.cat([about, torch.zeros(8, 3)], dim=1))
    poses[:, :, 3] = -3 * poses[:, :, 2]
    found = orbit(Cameras.from_focal(poses, 40.0, 32, 24), 8, 0.3, None)
    torch.testing.assert_close(upwards(found), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(found.centers.norm(dim=1), torch.full((8,), 3.0))


def test_a_spiral_of_parallel_cameras_keeps_their_direction() -> None:
    poses = torch.eye(3, 4).expand(4, 3, 4).clone()
    poses[:, :2, 3] = torch.tensor([[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    found = spiral(Cameras.from_focal(poses, 40.0, 32, 24), 12)
    torch.testing.assert_close(found.rotations, torch.eye(3).expand(12, 3, 3))
    torch.testing.assert_close(found.centers[:, 2], torch.zeros(12))
    assert 0.5 < float(found.centers.abs().max()) < 1

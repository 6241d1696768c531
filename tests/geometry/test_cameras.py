"""Laws of cameras and their rays."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import look_at, se3_exp
from unrender.geometry.sizes import ImageSizes

laws = settings(max_examples=30, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32)


def random_cameras(seed: int, count: int = 4) -> Cameras:
    """Cameras anywhere, with unequal focal lengths, skew and an off-centre principal point."""
    generator = torch.Generator().manual_seed(seed)
    twist = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    intrinsics = torch.zeros(count, 3, 3, dtype=torch.float64)
    draw = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    intrinsics[:, 0, 0] = 40 + 100 * draw[:, 0]
    intrinsics[:, 1, 1] = 40 + 100 * draw[:, 1]
    intrinsics[:, 0, 1] = 4 * draw[:, 2] - 2
    intrinsics[:, 0, 2] = 20 + 20 * draw[:, 3]
    intrinsics[:, 1, 2] = 10 + 20 * draw[:, 4]
    intrinsics[:, 2, 2] = 1
    return Cameras(se3_exp(twist), intrinsics, width=60, height=40)


def random_pixels(cameras: Cameras, seed: int, count: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    camera = torch.randint(len(cameras), (count,), generator=generator)
    size = torch.tensor([cameras.width, cameras.height], dtype=torch.float64)
    return camera, torch.rand(count, 2, generator=generator, dtype=torch.float64) * size


@laws
@given(seeds, st.floats(0.1, 20))
def test_project_undoes_rays(seed: int, distance: float) -> None:
    cameras = random_cameras(seed)
    camera, pixel = random_pixels(cameras, seed)
    rays = cameras.rays(camera, pixel)
    torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(20).double())
    torch.testing.assert_close(rays.origins, cameras.centers[camera])
    assert torch.equal(rays.camera_index, camera)
    points = rays.origins + distance * rays.directions
    back, depth = cameras.project(camera, points)
    torch.testing.assert_close(back, pixel, rtol=0, atol=1e-8)
    along = distance * (rays.directions * cameras.rotations[camera][..., 2]).sum(-1)
    torch.testing.assert_close(depth, along)
    assert (depth > 0).all()


def test_project_agrees_with_a_hand_computed_example() -> None:
    # At (0, -2, 0), looking along +y with z up: camera x is world x, camera y is world -z.
    eye = torch.tensor([[0.0, -2.0, 0.0]])
    pose = look_at(eye, torch.zeros(1, 3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras.from_focal(pose, 100.0, width=64, height=48)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.1], [0.0, 2.0, 0.4]])
    pixel, depth = cameras.project(torch.zeros(4, dtype=torch.long), points)
    expected = torch.tensor([[32.0, 24.0], [57.0, 24.0], [32.0, 19.0], [32.0, 14.0]])
    torch.testing.assert_close(pixel, expected)
    torch.testing.assert_close(depth, torch.tensor([2.0, 2.0, 2.0, 4.0]))


@laws
@given(seeds)
def test_the_target_of_look_at_is_the_middle_of_the_image(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    eye, target = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    roll = torch.rand(5, generator=generator, dtype=torch.float64) * 2 * math.pi
    pose = look_at(eye, target, up, roll)
    cameras = Cameras.from_focal(pose, 30.0, width=17, height=12)
    assert cameras.intrinsics.dtype == torch.float64
    pixel, depth = cameras.project(torch.arange(5), target)
    torch.testing.assert_close(pixel, torch.tensor([[8.5, 6.0]]).double().expand(5, 2))
    torch.testing.assert_close(depth, (target - eye).norm(dim=-1))


def test_up_is_up_in_the_image() -> None:
    pose = look_at(
        torch.tensor([[3.0, 1.0, 2.0]]), torch.zeros(1, 3), torch.tensor([0.0, 0, 1])
    )
    cameras = Cameras.from_focal(pose, 30.0, width=32, height=32)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    low, high = cameras.project(torch.zeros(2, dtype=torch.long), points)[0]
    assert high[1] < low[1]
    assert high[0] == pytest.approx(low[0].item(), abs=1e-4)


@laws
@given(seeds, st.integers(1, 200), st.integers(1, 200))
def test_resizing_keeps_the_rays_of_scaled_pixels(seed: int, width: int, height: int) -> None:
    cameras = random_cameras(seed)
    camera, pixel = random_pixels(cameras, seed)
    scale = torch.tensor([width / cameras.width, height / cameras.height], dtype=torch.float64)
    resized = cameras.resized(width, height)
    assert (resized.width, resized.height) == (width, height)
    before, after = cameras.rays(camera, pixel), resized.rays(camera, pixel * scale)
    # Scale factors are single precision.
    torch.testing.assert_close(after.directions, before.directions, rtol=0, atol=1e-6)
    radius = before.pixel_radius / scale[0]
    torch.testing.assert_close(after.pixel_radius, radius, rtol=1e-6, atol=0)


def test_pixel_radius_is_the_disc_with_the_variance_of_a_pixel() -> None:
    cameras = Cameras.from_focal(torch.eye(4)[None, :3], 50.0, width=10, height=10)
    center = torch.tensor([[5.0, 5.0]])
    rays = cameras.rays(torch.zeros(1, dtype=torch.long), center)
    # The variance of a disc along one axis is r²/4, that of a square of side s is s²/12.
    side = 1 / 50
    assert rays.pixel_radius.item() ** 2 / 4 == pytest.approx(side**2 / 12)


def test_rays_are_differentiable_in_pose_and_intrinsics() -> None:
    cameras = random_cameras(3, count=2)
    camera, pixel = random_pixels(cameras, 3, count=3)

    def directions(pose: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        rays = Cameras(pose, intrinsics, 60, 40).rays(camera, pixel)
        return rays.origins, rays.directions

    inputs = (
        cameras.world_from_camera.requires_grad_(),
        cameras.intrinsics.requires_grad_(),
    )
    assert torch.autograd.gradcheck(directions, inputs)
    assert not cameras.rays(camera, pixel).detach().origins.requires_grad


def test_selecting_and_concatenating_are_inverse() -> None:
    cameras = random_cameras(7, count=5)
    first = cameras.select(slice(0, 2))
    rest = cameras.select(torch.tensor([False, False, True, True, True]))
    joined = concatenate([first, rest])
    assert len(joined) == 5
    assert torch.equal(joined.world_from_camera, cameras.world_from_camera)
    assert torch.equal(joined.intrinsics, cameras.intrinsics)
    reversed_twice = cameras.select(torch.arange(4, -1, -1)).select(torch.arange(4, -1, -1))
    assert torch.equal(reversed_twice.focal, cameras.focal)


def test_cameras_of_several_sizes() -> None:
    """Their rays, projections and sizes are those of the cameras one by one."""
    parts = [random_cameras(1, 2), random_cameras(2, 3).resized(30, 50)]
    mixed = concatenate([parts[0], parts[1], parts[0][:1]])
    assert repr(mixed).startswith("Cameras(6 × 60×40 and 30×50, fov ")
    assert [camera.sizes.one for camera in mixed] == [(60, 40)] * 2 + [(30, 50)] * 3 + [
        (60, 40)
    ]
    pixel = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(0)) * 30
    camera = torch.tensor([1, 4])[:, None].expand(2, 7)
    rays = mixed.rays(camera, pixel)
    for k, part in enumerate((parts[0], parts[1])):
        alone = part.rays(torch.full((7,), 1 if k == 0 else 2), pixel[k])
        assert torch.equal(rays.directions[k], alone.directions)
        assert torch.equal(rays.pixel_radius[k], alone.pixel_radius)
    torch.testing.assert_close(mixed.fov[:5], torch.cat([part.fov for part in parts]))
    # As soon as one size is left, it is the size of all.
    assert (mixed[2:5].width, mixed[2:5].height) == (30, 50)
    assert mixed.select(torch.tensor([5, 0])).sizes.one == (60, 40)
    torch.testing.assert_close(
        mixed.resized(12, 8)[2:5].intrinsics, parts[1].resized(12, 8).intrinsics
    )
    half = mixed.with_sizes(mixed.sizes.scaled(0.5))
    assert str(half.sizes) == "30×20 and 15×25"
    torch.testing.assert_close(half.fov, mixed.fov)
    with pytest.raises(
        InputError, match=r"several sizes .60×40 and 30×50., where one is needed"
    ):
        _ = mixed.width


def test_look_at_puts_the_target_in_the_middle_and_up_above_it() -> None:
    eyes, up = [(3, 1, 2), (-4.0, 0.5, 1)], (0, 0, 1)
    cameras = Cameras.look_at(eyes, (0.5, 0, 0.2), up, fov=70, size=(64, 48))
    index = torch.arange(2)
    target = torch.tensor([0.5, 0, 0.2]).expand(2, 3)
    pixel, depth = cameras.project(index, target)
    torch.testing.assert_close(pixel, torch.tensor([[32.0, 24.0]] * 2))
    assert (depth > 0).all()
    above, _ = cameras.project(index, target + torch.tensor(up))
    torch.testing.assert_close(above[:, 0], torch.full((2,), 32.0))
    assert (above[:, 1] < 24).all()
    # The left and the right edge are `fov` apart.
    edges = torch.tensor([[0.0, 24.0], [64.0, 24.0]])
    left, right = cameras.rays(torch.zeros(2, dtype=torch.long), edges).directions
    assert math.degrees(math.acos(float(left @ right))) == pytest.approx(70, abs=1e-4)


def test_the_field_of_view_is_that_between_the_edges() -> None:
    """Wherever the principal point is, even outside of the image."""
    for x in (32.0, 10.0, -20.0, 90.0):
        matrix = torch.tensor([[[50.0, 0, x], [0, 50, 24], [0, 0, 1]]])
        camera = Cameras(torch.eye(3, 4)[None], matrix, 64, 48)
        edges = torch.tensor([[0.0, 24.0], [64.0, 24.0]])
        left, right = camera.rays(torch.zeros(2, dtype=torch.long), edges).directions.double()
        between = math.degrees(math.acos(float(left @ right)))
        assert float(camera.fov) == pytest.approx(between, abs=1e-3)


def test_look_at_takes_tensors_and_passes_their_gradient_on() -> None:
    eye = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    cameras = Cameras.look_at(eye, torch.zeros(3), torch.tensor([0, 0, 1]))
    assert cameras.world_from_camera.dtype == torch.float64
    cameras.centers.sum().backward()
    assert eye.grad is not None
    assert eye.grad.tolist() == [1, 1, 1]
    many = Cameras.look_at((0, -3, 0), [(0, 0, 0), (1, 0, 0)])
    assert len(many) == 2
    assert torch.equal(many.centers, torch.tensor([[0.0, -3, 0]] * 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eye": [(1, 0, 0), (0, 0, 0)]}, "eye 1: equals its target"),
        ({"eye": (0, 0, 3)}, "up .*parallel .*such as .0, 1, 0"),
        ({"eye": (0, 3, 0), "up": (0, 1, 0)}, "up .*parallel .*such as .0, 0, 1"),
        ({"eye": (0, 3, 0), "up": (0, 0, 0)}, "up .*zero"),
        ({"eye": (1, 0, 0), "fov": 0.0}, "fov 0: give degrees"),
        ({"eye": (1, 0, 0), "fov": 180.0}, "fov 180"),
        ({"eye": (1, 0, 0), "fov": math.nan}, "fov nan"),
        ({"eye": (1, 0, 0), "size": (0, 4)}, "size 0×4"),
        ({"eye": (1, 0)}, "eye: has the shape"),
        ({"eye": [(1, 0, 0), (1, 0)]}, "eye: give three numbers"),
        ({"eye": (1, 0, math.inf)}, "eye: contains NaN or Inf"),
        ({"eye": [(1, 0, 0)] * 3, "target": [(0, 0, 0)] * 2}, "2 points for 3 eyes"),
    ],
)
def test_look_at_refuses_what_is_not_a_view(arguments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cameras.look_at(**arguments)


def test_cameras_are_a_sequence() -> None:
    cameras = random_cameras(0, count=5)
    for k, camera in enumerate(cameras):
        assert torch.equal(camera.world_from_camera, cameras.world_from_camera[k : k + 1])
        assert torch.equal(cameras[k - 5].intrinsics, cameras.intrinsics[k : k + 1])
    assert torch.equal(cameras[1:4:2].centers, cameras.centers[1:4:2])
    assert len(list(cameras[5:])) == 0
    for outside in (5, -6):
        with pytest.raises(IndexError, match="out of range"):
            cameras[outside]


def test_cameras_print_on_one_short_line() -> None:
    cameras = Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(160, 120))
    wider = replace(cameras, intrinsics=cameras.intrinsics.clone())
    wider.intrinsics[1, :2, :2] *= 0.8
    assert repr(cameras) == "Cameras(2 × 160×120, fov 40.0°)"
    assert repr(wider) == "Cameras(2 × 160×120, fov 40.0–48.9°)"
    assert repr(cameras[:0]) == "Cameras(0 × 160×120)"
    nothing = cameras.with_poses(torch.full((2, 3, 4), math.nan))
    assert repr(nothing) == repr(cameras)


def test_times_stay_with_their_cameras() -> None:
    cameras = Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(32, 24))
    assert cameras.times is None
    timed = cameras.at_times(torch.tensor([0.0, 0.5, 2.0]))
    assert repr(timed) == "Cameras(3 × 32×24, fov 40.0°, times 0 to 2)"
    assert repr(timed[1]) == "Cameras(1 × 32×24, fov 40.0°, time 0.5)"
    for changed in (
        timed.to("cpu"),
        timed.resized(16, 12),
        timed.translated(torch.ones(3)),
        timed.cropped(ImageSizes.of([(16, 16)])),
        concatenate([timed[:1], timed[1:]]),
    ):
        assert changed.times is not None
        assert changed.times.tolist() == [0, 0.5, 2]
    frozen = timed.at_times(0.5)
    assert frozen.times is not None
    assert frozen.times.tolist() == [0.5] * 3
    assert timed.at_times(None).times is None
    with pytest.raises(InputError, match="some cameras have times"):
        concatenate([timed, cameras])

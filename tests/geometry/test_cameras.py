"""Laws of cameras and their rays."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import look_at, se3_exp

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
    with pytest.raises(AssertionError, match="several image sizes"):
        concatenate([first, rest.resized(3, 4)])

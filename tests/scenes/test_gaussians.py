"""Gaussians as cameras see them, and how they are divided."""

import math

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.scenes.gaussians import (
    BLUR,
    nearest_distance,
    project,
    rotations_of,
    share_light,
)

CAMERAS = Cameras.from_focal(turntable(5, 4.0, 0.6).double(), 50.0, 40, 30)


def some(count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(count, 3, generator=generator).double() - 0.5
    scales = 0.01 + 0.05 * torch.rand(count, 3, generator=generator).double()
    return means, scales, rotations_of(torch.randn(count, 4, generator=generator).double())


def test_quaternions_are_those_of_the_field() -> None:
    quaternion = torch.randn(10, 4, dtype=torch.float64)
    wanted = Rotation.from_quat(quaternion.roll(-1, 1).numpy()).as_matrix()
    torch.testing.assert_close(rotations_of(quaternion), torch.from_numpy(wanted))
    torch.testing.assert_close(rotations_of(3 * quaternion), rotations_of(quaternion))


def test_means_are_where_the_camera_sees_them() -> None:
    means, scales, rotations = some()
    for k in range(len(CAMERAS)):
        seen = project(
            means,
            scales,
            rotations,
            CAMERAS.world_from_camera[k],
            CAMERAS.intrinsics[k],
            40,
            30,
        )
        pixels, _ = CAMERAS.project(torch.full((len(means),), k), means)
        torch.testing.assert_close(seen.means, pixels)
        torch.testing.assert_close(seen.distances, (means - CAMERAS.centers[k]).norm(dim=1))
        assert bool(seen.visible.all())


def test_the_image_of_a_small_gaussian_is_that_of_its_samples() -> None:
    means, scales, rotations = some()
    scales = scales / 10
    seen = project(
        means, scales, rotations, CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0], 40, 30
    )
    a, b, c = seen.conics.T
    covariance = torch.linalg.inv(torch.stack([a, b, b, c], dim=1).view(-1, 2, 2))
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(200_000, 1, 3, 1, generator=generator).double()
    drawn = means + ((rotations * scales[:, None]) @ normal)[..., 0]
    pixels, _ = CAMERAS.project(torch.zeros(drawn.shape[:2], dtype=torch.long), drawn)
    for k in range(len(means)):
        wanted = pixels[:, k].T.cov() + BLUR * torch.eye(2)
        torch.testing.assert_close(covariance[k], wanted, rtol=0.02, atol=2e-3)


def test_what_is_behind_the_camera_is_not_seen() -> None:
    pose, matrix = CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0]
    behind = (pose[:, 3] - 2 * pose[:, 2])[None].requires_grad_()
    seen = project(behind, *(each[:1] for each in some()[1:]), pose, matrix, 40, 30)
    assert not bool(seen.visible)
    (seen.means.sum() + seen.conics.sum() + seen.shrink.sum()).backward()
    assert bool(behind.grad.isfinite().all())


def test_a_far_gaussian_loses_what_the_blur_adds() -> None:
    """Its light in all stays: opacity × area, with and without the blur."""
    pose, matrix = CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0]
    means, scales, rotations = some()
    seen = project(means, scales / 20, rotations, pose, matrix, 40, 30)
    a, b, c = seen.conics.T
    blurred = 1 / (a * c - b * b)
    inverse = torch.linalg.inv(
        torch.stack([a, b, b, c], dim=1).view(-1, 2, 2)
    ) - BLUR * torch.eye(2)
    torch.testing.assert_close(
        seen.shrink, (torch.linalg.det(inverse) / blurred).sqrt(), rtol=1e-3, atol=1e-6
    )


def test_neighbours() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 2], [9, 9, 9]])
    assert math.isclose(float(nearest_distance(points)[0]), math.sqrt(3), rel_tol=1e-5)
    assert float(nearest_distance(points[:1])) == 0


def test_those_that_share_a_place_cover_what_the_one_did() -> None:
    """At its centre exactly, and along a line through it in all (Kheradmand et al., eq. 8)."""
    opacity, parts = torch.tensor([0.9, 0.3, 0.99, 0.5]), torch.tensor([2, 5, 3, 1])
    new, shrink = share_light(opacity, parts)
    torch.testing.assert_close(1 - (1 - new) ** parts, opacity)
    x = torch.linspace(-8, 8, 16_001)
    for o, n, s, count in zip(opacity, new, shrink, parts, strict=True):
        one = torch.trapezoid(o * (-x * x / 2).exp(), x)
        many = torch.trapezoid(1 - (1 - n * (-((x / s) ** 2) / 2).exp()) ** count, x)
        torch.testing.assert_close(many, one, rtol=1e-4, atol=0)
    assert float(shrink[3]) == 1
    # Many at once stay finite.
    new, shrink = share_light(torch.tensor([0.9999]), torch.tensor([5000]))
    assert 0 < float(new) < 1
    assert 0 < float(shrink) <= 1

"""Gaussians as cameras see them, finite differences, and backends against the reference."""

import math

import formulas
import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.poses import so3_from_quaternion
from unrender.kernels.gaussian_projection import BLUR, project_gaussians
from unrender.kernels.runtime.backend import Backend

CAMERAS = Cameras.from_focal(turntable(5, 4.0, 0.6).double(), 50.0, 40, 30)


def some(count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(count, 3, generator=generator).double() - 0.5
    scales = 0.01 + 0.05 * torch.rand(count, 3, generator=generator).double()
    return means, scales.log(), torch.randn(count, 4, generator=generator).double()


def test_means_are_where_the_camera_sees_them() -> None:
    means, scales, quaternions = some()
    for k in range(len(CAMERAS)):
        seen = project_gaussians(
            means,
            scales,
            quaternions,
            CAMERAS.world_from_camera[k],
            CAMERAS.intrinsics[k],
            40,
            30,
        )
        pixels, _ = CAMERAS.project(torch.full((len(means),), k), means)
        torch.testing.assert_close(seen.means2d, pixels)
        torch.testing.assert_close(seen.distances, (means - CAMERAS.centers[k]).norm(dim=1))
        assert bool(seen.visible.all())


def test_the_image_of_a_small_gaussian_is_that_of_its_samples() -> None:
    means, scales, quaternions = some()
    scales = scales - math.log(10)
    seen = project_gaussians(
        means, scales, quaternions, CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0], 40, 30
    )
    a, b, c = seen.conics.T
    covariance = torch.linalg.inv(torch.stack([a, b, b, c], dim=1).view(-1, 2, 2))
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(200_000, 1, 3, 1, generator=generator).double()
    drawn = (
        means + ((so3_from_quaternion(quaternions) * scales.exp()[:, None]) @ normal)[..., 0]
    )
    pixels, _ = CAMERAS.project(torch.zeros(drawn.shape[:2], dtype=torch.long), drawn)
    for k in range(len(means)):
        expected = pixels[:, k].T.cov() + BLUR * torch.eye(2)
        torch.testing.assert_close(covariance[k], expected, rtol=0.02, atol=2e-3)


def test_what_is_behind_the_camera_is_not_seen() -> None:
    pose, matrix = CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0]
    behind = (pose[:, 3] - 2 * pose[:, 2])[None].requires_grad_()
    seen = project_gaussians(behind, *(each[:1] for each in some()[1:]), pose, matrix, 40, 30)
    assert not bool(seen.visible)
    (seen.means2d.sum() + seen.conics.sum() + seen.compensations.sum()).backward()
    assert bool(behind.grad.isfinite().all())


def test_a_far_gaussian_loses_what_the_blur_adds() -> None:
    """Its light in all stays: opacity × area, with and without the blur."""
    pose, matrix = CAMERAS.world_from_camera[0], CAMERAS.intrinsics[0]
    means, scales, quaternions = some()
    seen = project_gaussians(means, scales - math.log(20), quaternions, pose, matrix, 40, 30)
    a, b, c = seen.conics.T
    blurred = 1 / (a * c - b * b)
    inverse = torch.linalg.inv(
        torch.stack([a, b, b, c], dim=1).view(-1, 2, 2)
    ) - BLUR * torch.eye(2)
    torch.testing.assert_close(
        seen.compensations, (torch.linalg.det(inverse) / blurred).sqrt(), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("center", [(1 / 6, 0.5), (0.9, 0.2), (-0.3, 1.4)], ids=str)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_all_of_the_image_has_its_own_jacobian(
    backend: Backend, center: tuple[float, float]
) -> None:
    """Wherever the principal point is: in the image and up to MARGIN beside it, the shape is
    that of the linearization at the mean; beyond, that at the margin's edge. In float64.
    """
    width, height, fx, fy = 60, 40, 30.0, 35.0
    cx, cy = center[0] * width, center[1] * height
    u = torch.linspace(-0.4, 1.4, 19) * width
    v = torch.linspace(-0.4, 1.4, 19).flip(0) * height
    z = torch.linspace(1, 3, 19)
    means = torch.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], dim=1)
    generator = torch.Generator().manual_seed(0)
    scales = torch.rand(19, 3, generator=generator) - 2
    quaternions = torch.randn(19, 4, generator=generator)
    matrix = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    found = project_gaussians(
        means, scales, quaternions, torch.eye(3, 4), matrix, width, height, backend
    )
    exact = [each.double().numpy() for each in (means, scales.exp(), quaternions, matrix)]
    for k in range(19):
        _, covariance, _ = formulas.projected_gaussian(
            *(each[k] for each in exact[:3]), np.eye(3, 4), exact[3], np.array([width, height])
        )
        inverse = torch.from_numpy(np.linalg.inv(covariance))
        conic = torch.stack([inverse[0, 0], inverse[0, 1], inverse[1, 1]])
        torch.testing.assert_close(found.conics[k].double(), conic, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("center", [(20.0, 15.0), (6.0, 26.0)], ids=str)
def test_agrees_with_the_reference(agree, center: tuple[float, float]) -> None:
    """Gaussians of all sizes and shapes, some beside the image and some behind the camera."""
    generator = torch.Generator().manual_seed(0)
    means = 4 * torch.randn(200, 3, generator=generator)
    scales = torch.randn(200, 3, generator=generator) - 2
    quaternions = torch.randn(200, 4, generator=generator)
    # Blurred to nothing, and as good as flat.
    scales[:4] = -12
    scales[4:8, 0] = -12
    given = [each.requires_grad_() for each in (means, scales, quaternions)]
    pose, matrix = CAMERAS.world_from_camera[0].float(), CAMERAS.intrinsics[0].float().clone()
    matrix[:2, 2] = torch.tensor(center)

    def seen(backend: Backend, *tensors: Tensor) -> tuple[Tensor, ...]:
        device = tensors[0].device
        camera = pose.to(device), matrix.to(device)
        found = project_gaussians(*tensors, *camera, 40, 30, backend=backend)
        here = found.visible[:, None]
        numbers = (
            found.means2d,
            found.conics,
            found.distances[:, None],
            found.compensations[:, None],
        )
        return tuple(torch.where(here, each, 0.0) for each in numbers)

    agree(seen, given)


def test_derivatives_are_those_of_the_formula() -> None:
    means, scales, quaternions = (each.requires_grad_() for each in some())
    pose = CAMERAS.world_from_camera[0].clone().requires_grad_()

    def seen(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = project_gaussians(*tensors, CAMERAS.intrinsics[0], 40, 30)
        return found.means2d, found.conics, found.distances, found.compensations

    assert torch.autograd.gradcheck(seen, (means, scales, quaternions, pose))

"""Fusion of depth images: against the reference, and against planes."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.kernels.depth_fusion import EMPTY, DepthImages, fuse_colors, fuse_depth
from unrender.kernels.runtime.backend import Backend

LOW, STEP, SIZE = torch.tensor([-1.03, -0.91, -0.82]), 0.17, (12, 11, 10)


def depth_images(count: int) -> DepthImages:
    """Smooth depths from random sides; some pixels say nothing, and some see nothing."""
    generator = torch.Generator().manual_seed(0)
    cameras = Cameras.from_focal(spherical_shell(count, (3.0, 3.0), generator), 30.0, 32, 24)
    inverse = cameras.rotations.mT
    extrinsics = torch.cat([inverse, -inverse @ cameras.centers[..., None]], dim=2)
    row, column = torch.arange(24)[:, None], torch.arange(32)
    depth = (2.7 + 0.004 * row + 0.003 * column).expand(count, 24, 32).clone()
    depth[:, 3:7, 4:9], depth[:, 12:15] = 0.0, EMPTY
    return DepthImages(depth, cameras.intrinsics @ extrinsics, cameras.centers)


def nearly_all(found: Tensor, expected: Tensor) -> None:
    """But for the points that rounding moves to the neighboring pixel."""
    assert found.shape == expected.shape
    assert int(((found - expected).abs() > 1e-4).sum()) <= 0.003 * found.numel()


def on_device(images: DepthImages, device: torch.device, *tensors: Tensor):
    return images.to(device), *(each.to(device) for each in tensors)


def test_fused_depths(backend: Backend, device: torch.device) -> None:
    for count in (0, 1, 5):
        images = depth_images(count)
        expected = fuse_depth(images, LOW, STEP, SIZE, 0.5, "reference")
        moved, low = on_device(images, device, LOW)
        for one, other in zip(
            fuse_depth(moved, low, STEP, SIZE, 0.5, backend), expected, strict=True
        ):
            assert one.shape == SIZE
            nearly_all(one.cpu(), other)
    assert float(expected[1].max()) > 2


def test_fused_colors(backend: Backend, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    images, points = depth_images(5), torch.rand(700, 3, generator=generator) - 0.5
    normals = normalize(torch.randn(700, 3, generator=generator), dim=1)
    rgba = torch.rand(5, 24, 32, 4, generator=generator)
    for number in (0, 1, 700):
        inputs = rgba, points[:number], normals[:number]
        expected = fuse_colors(images, *inputs, 0.7, "reference")
        moved = on_device(images, device, *inputs)
        for one, other in zip(fuse_colors(*moved, 0.7, backend), expected, strict=True):
            nearly_all(one.cpu(), other)
    assert float((expected[1] > 0).float().mean()) > 0.5


def at_the_origin(depth: float) -> DepthImages:
    """A camera at z = −2 that looks along z, with one depth in all pixels."""
    matrix = torch.tensor([[[50.0, 0, 16, 32], [0, 50, 16, 32], [0, 0, 1, 2]]])
    center = torch.tensor([[0.0, 0, -2]])
    return DepthImages(torch.full((1, 32, 32), depth), matrix, center)


def test_distances_are_those_along_the_ray(backend: Backend, device: torch.device) -> None:
    """On the optical axis: positive in front of what is seen, and nothing known behind it."""
    images, low = on_device(at_the_origin(2.0), device, torch.tensor([0.0, 0, -1]))
    found, weight = fuse_depth(images, low, 0.1, (1, 1, 21), 0.45, backend)
    z = -1 + 0.1 * torch.arange(21)
    expected = torch.where(z < 0.45, (-z / 0.45).clamp_max(1), 1.0)
    torch.testing.assert_close(found[0, 0].cpu(), expected, atol=1e-5, rtol=0)
    assert torch.equal(weight[0, 0].cpu(), (z < 0.45).float())


def test_rays_that_meet_nothing_are_empty(backend: Backend, device: torch.device) -> None:
    for depth, seen in ((EMPTY, 1.0), (0.0, 0.0)):
        images, low = on_device(at_the_origin(depth), device, torch.full((3,), -0.2))
        found, weight = fuse_depth(images, low, 0.1, (4, 4, 4), 0.3, backend)
        assert bool((found == 1).all())
        assert bool((weight == seen).all())


def test_a_constant_color_is_found(backend: Backend, device: torch.device) -> None:
    """Whatever its opacity; points that are hidden or face away have no weight."""
    color, opacity = torch.tensor([0.2, 0.5, 0.9]), torch.rand(1, 32, 32, 1)
    rgba = torch.cat([color * opacity, opacity], dim=3)
    points = torch.tensor([[0.1, 0.05, 0.0], [0, 0, 1], [0, 0, 0]])
    normals = torch.tensor([[0.0, 0, -1], [0, 0, -1], [0, 0, 1]])
    moved = on_device(at_the_origin(2.0), device, rgba, points, normals)
    found, weight = (each.cpu() for each in fuse_colors(*moved, 0.2, backend))
    torch.testing.assert_close(found[0], color)
    assert (weight > 0).tolist() == [True, False, False]
    assert float(found[1:].abs().max()) == 0

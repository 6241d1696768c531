"""Spots of points against their formula, brute force, and finite differences."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.rendering.points import points_renderer

SIZE = 24
Mixing = Literal["front to back", "mean"]
MIXINGS: tuple[Mixing, Mixing] = ("front to back", "mean")


def camera(*eyes: tuple[float, float, float]) -> Cameras:
    eye = torch.tensor(eyes or ((4, 0, 0),), dtype=torch.float32)
    poses = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 0, 1]))
    return Cameras.from_focal(poses, 1.5 * SIZE, SIZE, SIZE)


def cloud(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 3, generator=generator) * 0.5,
        torch.rand(count, 3, generator=generator),
    )


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("in_pixels", [False, True])
def test_one_spot_equals_its_formula(mixing: Mixing, in_pixels: bool) -> None:
    """Spot centered at (12, 12), distance 4, focal length 36 pixels: 0.5 is 4.5 pixels."""
    color = torch.tensor([[1.0, 0.5, 0.25]])
    radius = 4.5 if in_pixels else 0.5
    found = points_renderer(
        torch.zeros(1, 3), color, radius, in_pixels=in_pixels, mixing=mixing
    )(camera())
    for x, y in ((12, 12), (15, 10), (0, 0)):
        square = (x + 0.5 - 12) ** 2 + (y + 0.5 - 12) ** 2
        alpha = math.exp(-2 * square / 4.5**2)
        alpha = alpha if alpha > 1 / 255 else 0.0
        assert float(found.opacity[0, y, x]) == pytest.approx(alpha, abs=1e-4)
        assert float(found.color[0, y, x, 1]) == pytest.approx(alpha / 2, abs=1e-4)
        depth = 4.0 if alpha else 0.0
        assert float(found.depth[0, y, x]) == pytest.approx(depth, abs=1e-4)


def test_spots_are_composited_or_averaged() -> None:
    points = torch.tensor([[1.0, 0, 0], [-1, 0, 0]])
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    front = points_renderer(points, colors, 20.0, in_pixels=True)(camera()).color[0, 12, 12]
    mean = points_renderer(points, colors, 20.0, in_pixels=True, mixing="mean")
    nearest = points_renderer(points, colors, 20.0, in_pixels=True, mixing="mean", layers=1)
    assert float(front[0]) > 0.99
    torch.testing.assert_close(
        mean(camera()).color[0, 12, 12], torch.tensor([0.5, 0.5, 0]), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        nearest(camera()).color[0, 12, 12], torch.tensor([1.0, 0, 0]), atol=0.01, rtol=0
    )


def test_means_equal_brute_force() -> None:
    points, colors = cloud(40)
    view = camera((3.0, 2, 1))
    found = points_renderer(points, colors, 0.3, mixing="mean", layers=3)(view)
    index = torch.zeros(40, dtype=torch.long)
    place, z = view.project(index, points)
    distance = (points - view.centers).norm(dim=1)
    radius = 0.3 * float(view.focal[0]) / z
    for y in range(0, SIZE, 3):
        for x in range(0, SIZE, 2):
            square = (place - torch.tensor([x + 0.5, y + 0.5])).square().sum(1)
            alpha = torch.exp(-2 * square / radius.square())
            near = (alpha >= 1 / 255).nonzero()[:, 0]
            near = near[distance[near].argsort()][:3]
            opacity = 1 - (1 - alpha[near]).prod()
            mean = (alpha[near, None] * colors[near]).sum(0) / alpha[near].sum().clamp_min(1e-6)
            torch.testing.assert_close(
                found.color[0, y, x], opacity * mean, atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("mixing", MIXINGS)
def test_gradients_by_finite_differences(mixing: Mixing) -> None:
    """With large spots: small ones have jumps at their boundaries."""
    points, colors = cloud(4, seed=3)
    given = (points.double(), colors.double(), torch.full((4,), 3.0).double())
    view = camera((3.0, 2, 1))
    view = Cameras(view.world_from_camera.double(), view.intrinsics.double(), SIZE, SIZE)
    view = view.resized(4, 3)
    view = Cameras(view.world_from_camera.double(), view.intrinsics.double(), 4, 3)

    def total(*inputs: Tensor) -> Tensor:
        found = points_renderer(*inputs, mixing=mixing, backend="reference")(view)
        return torch.stack([found.color.square().sum(), found.opacity.sum(), found.depth.sum()])

    inputs = [each.requires_grad_() for each in given]
    assert torch.autograd.gradcheck(total, inputs, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_points_behind_cameras_and_none_at_all(mixing: Mixing) -> None:
    points, colors = cloud(5)
    behind = points_renderer(
        points * 0.1 + torch.tensor([9.0, 0, 0]), colors, 0.5, mixing=mixing
    )
    nothing = points_renderer(points[:0], colors[:0], 0.5, mixing=mixing)
    for renderer in (behind, nothing):
        found = renderer(camera((4, 0, 0), (4, 1, 0)))
        assert found.color.shape == (2, SIZE, SIZE, 3)
        assert float(found.opacity.sum()) == 0


def test_bad_input_is_refused() -> None:
    points, colors = cloud(3)
    with pytest.raises(InputError, match="radius"):
        points_renderer(points, colors, 0.0)
    with pytest.raises(InputError, match="layers"):
        points_renderer(points, colors, 1.0, layers=0)
    huge = points_renderer(*cloud(200_000), 500.0, in_pixels=True, mixing="mean")
    with pytest.raises(InputError, match="smaller radius"):
        huge(camera().resized(64, 64))

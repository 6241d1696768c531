"""Consistency of views: scenes are consistent, and images that were changed are not."""

import dataclasses
import math

import pytest
import torch

from unrender.data.builtin import render_scene
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.view_consistency import (
    ViewConsistency,
    inside,
    neighboring,
    scene_consistency,
    view_consistency,
    warped_images,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.rendering.renderer import Rendering

SIZE = 48


def ring(count: int = 12) -> Cameras:
    return Cameras.from_focal(turntable(count, 4.0, 0.5), 1.4 * SIZE, SIZE, SIZE)


@pytest.fixture(scope="module")
def bricks() -> Rendering:
    views = render_scene("bricks", ring())
    assert views.depths is not None
    return Rendering(views.images[..., :3], views.images[..., 3], views.depths)


def score(rendering: Rendering, cameras: Cameras | None = None) -> ViewConsistency:
    colors = rendering.over("white")
    return view_consistency(colors, rendering.depth, rendering.opacity, cameras or ring())


def test_a_scene_is_consistent_by_its_own_depth(bricks: Rendering) -> None:
    found = score(bricks)
    assert found.psnr > 22
    assert 0.3 < found.share < 0.95


def test_images_that_differ_are_not(bricks: Rendering) -> None:
    """A canary: other colors in every other image, and the neighbor's image in the place."""
    dimmed = bricks.color.clone()
    dimmed[::2] *= 0.5
    assert score(dataclasses.replace(bricks, color=dimmed)).psnr < score(bricks).psnr - 8
    shifted = dataclasses.replace(bricks, color=bricks.color.roll(3, 0))
    assert score(shifted).psnr < score(bricks).psnr - 5


def test_more_and_nearer_views_agree_better(bricks: Rendering) -> None:
    few = score(bricks[::4], ring()[::4])
    assert few.share < score(bricks).share


def test_a_plane_of_one_color_agrees_exactly() -> None:
    cameras = Cameras.look_at(
        [(0, 0, 4), (0.5, 0, 4)], [(0, 0, 0), (0.5, 0, 0)], up=(0, 1, 0), size=(16, 16)
    )
    pixel = torch.stack(torch.meshgrid(*[torch.arange(16) + 0.5] * 2, indexing="xy"), -1)
    index = torch.arange(2)[:, None, None].expand(-1, 16, 16)
    rays = cameras.rays(index, pixel.expand(2, -1, -1, -1))
    depth = -rays.origins[..., 2] / rays.directions[..., 2]
    ones = torch.ones(2, 16, 16)
    found = view_consistency(ones[..., None].expand(-1, -1, -1, 3) / 2, depth, ones, cameras)
    assert found.psnr > 100
    assert found.share > 0.7
    # What the point is, as a color: its place is found in the other image between the pixels.
    points = rays.origins + depth[..., None] * rays.directions
    warped, seen = warped_images(points, depth, ones > 0, cameras, torch.tensor([1, 0]))
    torch.testing.assert_close(warped[seen], points[seen], rtol=0, atol=0.02)
    outside = points[0, ..., 0] < -1
    assert outside.any()
    assert not seen[0][outside].any()
    assert seen[0, 4:-4, 4:-4].all()


def test_outlines_are_left_out() -> None:
    """Two planes, one behind the other: pixels beside the step are of both."""
    depth = torch.full((1, 6, 8), 3.0)
    depth[..., 4:] = 5.0
    hit = torch.ones(1, 6, 8, dtype=torch.bool)
    found = inside(hit, depth)[0]
    assert found[:, [0, 1, 2, 5, 6, 7]].all()
    assert not found[:, 3:5].any()
    hit[0, 0, 0] = False
    found = inside(hit, depth)[0]
    assert not found[:2, :2].any()
    assert found[2:, :3].all()


def test_small_images_are_enlarged(bricks: Rendering) -> None:
    sizes: list[int] = []

    def renderer(cameras: Cameras) -> Rendering:
        sizes.append(cameras.width)
        views = render_scene("bricks", cameras)
        assert views.depths is not None
        return Rendering(views.images[..., :3], views.images[..., 3], views.depths)

    small = render_scene("bricks", ring(4).resized(16, 16))
    own, others = scene_consistency(renderer, small, side=32)
    assert sizes == [32] * 4
    assert own.share == others.share > 0


def test_hidden_surfaces_are_left_out() -> None:
    """Two cameras that face each other across an opaque thing see different surfaces."""
    cameras = Cameras.look_at([(4, 0, 0), (-4, 0, 0)], size=(8, 8))
    ones = torch.ones(2, 8, 8)
    with pytest.raises(InputError, match="give more views"):
        view_consistency(ones[..., None].expand(-1, -1, -1, 3), 3 * ones, ones, cameras)


def test_the_neighbor_is_the_nearest_other_camera() -> None:
    assert neighboring(ring()[:4]).tolist() in ([1, 0, 1, 2], [1, 2, 1, 2], [1, 0, 3, 2])
    poses = Cameras.look_at([(4, 0, 1), (-4, 0, 1), (4, 0.1, 1)])
    assert neighboring(poses).tolist()[::2] == [2, 0]


def test_generated_views_are_warped_by_the_depth_of_the_scene(bricks: Rendering) -> None:
    noise = 0.2 * torch.rand(bricks.rgba.shape, generator=torch.Generator().manual_seed(0))
    images = (0.8 * bricks.rgba + noise * bricks.opacity[..., None]).clamp(0, 1)

    def renderer(cameras: Cameras) -> Rendering:
        (k,) = [k for k in range(12) if torch.equal(cameras.centers[0], ring().centers[k])]
        return bricks[k]

    own, others = scene_consistency(renderer, Views(ring(), images), side=SIZE)
    assert own == score(bricks)
    assert others.share == own.share
    assert others.psnr < own.psnr - 3


def test_one_view_has_no_neighbor(bricks: Rendering) -> None:
    with pytest.raises(InputError, match="give two or more"):
        score(bricks[:1], ring()[:1])


def test_identical_images_are_infinitely_alike() -> None:
    cameras = Cameras.look_at([(0, 0, 4)], up=(0, 1, 0), size=(8, 8))
    twice = Cameras(
        cameras.world_from_camera.expand(2, -1, -1),
        cameras.intrinsics.expand(2, -1, -1),
        sizes=cameras.sizes,
    )
    ones = torch.ones(2, 8, 8)
    found = view_consistency(torch.ones(2, 8, 8, 3), 4 * ones, ones, twice)
    assert found.psnr == math.inf or found.psnr > 120

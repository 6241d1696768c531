"""Lookup baselines return the nearest view and its typical error."""

import dataclasses

import pytest
import torch
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation import lookup
from unrender.evaluation.lookup import (
    nearest,
    nearest_view_estimator,
    nearest_view_renderer,
    random_pose_estimator,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import so3_distance

SIZE = 6


def views(count: int) -> Views:
    generator = torch.Generator().manual_seed(0)
    poses = spherical_shell(count, (3.0, 4.0), generator)
    images = torch.rand(count, SIZE, SIZE, 4, generator=generator)
    images[..., :3] *= images[..., 3:]
    return Views(Cameras.from_focal(poses, 8.0, SIZE, SIZE), images)


VIEWS = views(40)


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches so small that there are several, the last incomplete."""
    monkeypatch.setattr(lookup, "ROWS_AT_ONCE", 7)


def test_the_nearest_row_is_that_of_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    expected, known = (torch.randn(n, 5, generator=generator) for n in (20, 33))
    distance = (expected[:, None] - known).norm(dim=2)
    assert torch.equal(nearest(expected, known), distance.argmin(1))
    best = distance.argmin(1)
    distance[torch.arange(20), best] = torch.inf
    assert torch.equal(nearest(expected, known, best), distance.argmin(1))


def test_the_nearest_view_of_a_view_is_itself() -> None:
    rendering = nearest_view_renderer(VIEWS)(VIEWS.cameras)
    assert torch.equal(rendering.rgba, VIEWS.images)
    assert not rendering.depth.any()
    found = nearest_view_estimator(VIEWS)(VIEWS.images).cameras
    assert torch.equal(found.world_from_camera, VIEWS.cameras.world_from_camera)
    assert torch.equal(found.intrinsics, VIEWS.cameras.intrinsics)


def test_translations_count_in_units_of_the_radius() -> None:
    """Nearest views do not depend on the unit of length."""

    def scaled(cameras: Cameras) -> Cameras:
        poses = cameras.world_from_camera.clone()
        poses[:, :, 3] *= 1000
        return cameras.with_poses(poses)

    known, expected = VIEWS.select(torch.arange(30)), VIEWS.cameras.select(slice(30, 40))
    large = dataclasses.replace(known, cameras=scaled(known.cameras))
    a = nearest_view_renderer(known)(expected)
    b = nearest_view_renderer(large)(scaled(expected))
    assert torch.equal(a.rgba, b.rgba)


def test_other_sizes_are_averaged() -> None:
    half = nearest_view_renderer(VIEWS)(VIEWS.cameras.resized(3, 3)).rgba
    blocks = VIEWS.images.unflatten(2, (3, 2)).unflatten(1, (3, 2)).mean((2, 4))
    torch.testing.assert_close(half, blocks)
    large = VIEWS.images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    found = nearest_view_estimator(VIEWS)(large).cameras
    assert (found.width, found.height) == (2 * SIZE, 2 * SIZE)
    assert torch.equal(found.world_from_camera, VIEWS.cameras.world_from_camera)
    torch.testing.assert_close(found.focal, 2 * VIEWS.cameras.focal)
    with pytest.raises(InputError, match="12x6"):
        nearest_view_estimator(VIEWS)(large[:, :SIZE])


def test_views_without_alpha_are_cut_out() -> None:
    white = torch.ones(3)
    opaque = Views(VIEWS.cameras, VIEWS.over(white), white)
    assert torch.equal(nearest_view_renderer(opaque)(VIEWS.cameras).rgba, opaque.rgba)


def median_errors(ours: Cameras, truth: Cameras) -> tuple[Tensor, Tensor]:
    rotation = so3_distance(ours.rotations, truth.rotations)
    return rotation.median(), (ours.centers - truth.centers).norm(dim=1).median()


def test_expected_errors_are_those_of_neighbours() -> None:
    pixels = VIEWS.images.flatten(1)
    distance = (pixels[:, None] - pixels).norm(dim=2)
    distance.fill_diagonal_(torch.inf)
    neighbours = VIEWS.cameras.select(distance.argmin(1))
    found = nearest_view_estimator(VIEWS)(VIEWS.images[:3])
    rotation, translation = median_errors(neighbours, VIEWS.cameras)
    torch.testing.assert_close(found.rotation_error, rotation.expand(3))
    torch.testing.assert_close(found.translation_error, translation.expand(3))
    with pytest.raises(InputError, match="at least 2"):
        nearest_view_estimator(views(1))


def test_random_poses_are_those_of_cameras_and_of_the_seed() -> None:
    a, b = (
        random_pose_estimator(VIEWS.cameras, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    first, second = a(VIEWS.images), a(VIEWS.images)
    poses, other = first.cameras.world_from_camera, second.cameras.world_from_camera
    assert torch.equal(poses, b(VIEWS.images).cameras.world_from_camera)
    assert not torch.equal(poses, other)
    same = poses[:, None] == VIEWS.cameras.world_from_camera
    assert same.all((2, 3)).any(1).all()
    rotation, _ = median_errors(VIEWS.cameras, VIEWS.cameras.select(torch.randperm(40)))
    assert 0.5 * rotation < first.rotation_error[0] < 2 * rotation

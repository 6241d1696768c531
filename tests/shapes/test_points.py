"""Clouds: what is projected comes back, and what is thinned out stays where it was."""

import dataclasses
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.shapes.points import (
    PointCloud,
    concatenate,
    estimate_normals,
    farthest_point_sampling,
    nearest_neighbors,
    remove_outliers,
    unproject_depth,
    voxel_downsample,
)

Along = Literal["axis", "ray"]
AXES: tuple[Along, ...] = ("axis", "ray")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cameras() -> Cameras:
    poses = spherical_shell(3, (3.0, 4.0), seeded())
    plain = Cameras.from_focal(poses, 20.0, 12, 9)
    skewed = plain.intrinsics + torch.tensor([[0.0, 0.3, 0.4], [0.0, 1.0, -0.7], [0.0, 0, 0]])
    return dataclasses.replace(plain, intrinsics=skewed)


@pytest.mark.parametrize("along", AXES)
def test_points_lie_on_their_pixels(along: Along) -> None:
    views = cameras()
    depths = 1 + torch.rand(3, 9, 12, generator=seeded())
    depths[1] = 0
    depths[2, 4, 5] = float("nan")
    colors = torch.rand(3, 9, 12, 3, generator=seeded(1))
    cloud = unproject_depth(views, depths, along, colors)
    camera, row, column = ((depths > 0) & depths.isfinite()).nonzero(as_tuple=True)
    assert len(cloud) == len(camera) == 2 * 9 * 12 - 1
    pixel, depth = views.project(camera, cloud.points)
    torch.testing.assert_close(pixel, torch.stack([column, row], dim=1) + 0.5)
    measured = depth if along == "axis" else (cloud.points - views.centers[camera]).norm(dim=1)
    torch.testing.assert_close(measured, depths[camera, row, column])
    assert cloud.colors is not None
    assert torch.equal(cloud.colors, colors[camera, row, column])


def test_the_two_depths_differ() -> None:
    depths = torch.ones(3, 9, 12)
    axis, ray = (unproject_depth(cameras(), depths, along).points for along in AXES)
    assert float((axis - ray).norm(dim=1).max()) > 0.03


def test_gradients_reach_depths() -> None:
    views = cameras()
    pose = views.world_from_camera.double()
    exact = Cameras(pose, views.intrinsics.double(), views.width, views.height)
    depths = (1 + torch.rand(3, 9, 12, generator=seeded())).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda values: unproject_depth(exact, values, "axis").points, depths, fast_mode=True
    )


def test_a_union_keeps_what_all_have() -> None:
    a = PointCloud(torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2, 3))
    b = PointCloud(torch.ones(3, 3), torch.zeros(3, 3))
    both = concatenate([a, b])
    assert len(both) == 5
    assert both.colors is not None
    assert both.normals is None
    assert torch.equal(both.points, torch.cat([a.points, b.points]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(0.05, 3), st.integers(0, 60))
def test_cells_hold_their_means(seed: int, size: float, count: int) -> None:
    generator = seeded(seed)
    points = torch.randn(count, 3, generator=generator)
    cloud = PointCloud(points, torch.rand(count, 3, generator=generator))
    found = voxel_downsample(cloud, size)
    groups: dict[tuple[int, ...], list[int]] = {}
    for k, cell in enumerate((points.double() / size).floor().int().tolist()):
        groups.setdefault(tuple(cell), []).append(k)
    assert len(found) == len(groups)
    assert found.colors is not None
    for row, cell in enumerate(sorted(groups)):
        torch.testing.assert_close(found.points[row], points[groups[cell]].mean(0))
        assert cloud.colors is not None
        torch.testing.assert_close(found.colors[row], cloud.colors[groups[cell]].mean(0))


def test_cells_that_are_too_small() -> None:
    with pytest.raises(InputError, match="cells of side"):
        voxel_downsample(PointCloud(torch.tensor([[0.0, 0, 0], [1, 0, 0]])), 1e-9)
    far = torch.tensor([[float("inf"), 0, 0], [1, 0, 0]])
    with pytest.raises(InputError, match="finite points"):
        voxel_downsample(PointCloud(far), 1.0)


def test_normals_of_a_sphere_and_of_a_plane() -> None:
    sphere = normalize(torch.randn(2000, 3, generator=seeded()), dim=1)
    normals = estimate_normals(sphere, torch.zeros(3))
    # Seen from within.
    assert float((normals * -sphere).sum(1).min()) > 0.95
    plane = torch.rand(100, 3, generator=seeded()) * torch.tensor([1.0, 1.0, 0.0])
    above = estimate_normals(plane, torch.tensor([0.0, 0.0, 2.0]))
    torch.testing.assert_close(above, torch.tensor([0.0, 0, 1]).expand(100, 3))
    assert torch.equal(estimate_normals(plane[:2], torch.zeros(3)), torch.zeros(2, 3))
    assert torch.equal(estimate_normals(plane[:0], torch.zeros(3)), torch.zeros(0, 3))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 50))
def test_each_farthest_point_is_the_farthest(seed: int, total: int, count: int) -> None:
    points = torch.randn(total, 3, generator=seeded(seed))
    points[total // 2 :] = points[: total - total // 2].clone()  # some twice
    chosen = farthest_point_sampling(points, count)
    assert len(chosen) == min(count, total) == len(chosen.unique())
    far = torch.cdist(points.double(), points.double())
    for k in range(1, len(chosen)):
        rest = far[:, chosen[:k]].amin(1)
        assert float(rest[chosen[k]]) == pytest.approx(float(rest.max()), abs=1e-6)


def test_a_far_point_is_an_outlier() -> None:
    points = torch.rand(300, 3, generator=seeded())
    points[7] = 4.0
    kept = remove_outliers(PointCloud(points, torch.rand(300, 3)), deviations=4.0)
    assert len(kept) >= 290
    assert float(kept.points.max()) <= 1
    one = PointCloud(points[:1])
    assert remove_outliers(one) is one


def test_nearest_is_brute_force() -> None:
    points = torch.randn(80, 3, generator=seeded())
    distance, index = nearest_neighbors(points, 5)
    exact = torch.cdist(points.double(), points.double()).sort(dim=1)
    torch.testing.assert_close(distance, exact.values[:, :5].float(), atol=1e-5, rtol=1e-5)
    assert torch.equal(index, exact.indices[:, :5])

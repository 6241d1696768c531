"""Alignment recovers the similarity transform between two point sets."""

import torch

from unrender.geometry.alignment import Similarity, align_points
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.poses import so3_exp

MOVED = Similarity(2.5, so3_exp(torch.tensor([0.4, -1.1, 0.3])), torch.tensor([3.0, -2, 7]))


def test_a_similarity_is_found_again() -> None:
    points = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    found = align_points(points, MOVED.transform_points(points))
    assert abs(found.scale - 2.5) < 1e-4
    torch.testing.assert_close(found.rotation, MOVED.rotation)
    torch.testing.assert_close(found.translation, MOVED.translation, atol=1e-4, rtol=0)


def test_no_reflection_is_taken_for_a_rotation() -> None:
    points = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    found = align_points(points, points * torch.tensor([1.0, 1, -1]))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.tensor(1.0))


def test_moved_cameras_see_moved_points_as_before() -> None:
    cameras = Cameras.from_focal(turntable(4, 4.0, 0.3), 40.0, 32, 32)
    points = torch.rand(4, 3) - 0.5
    index = torch.arange(4)
    before, depth = cameras.project(index, points)
    after, far = MOVED.transform_cameras(cameras).project(index, MOVED.transform_points(points))
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    torch.testing.assert_close(far, 2.5 * depth, atol=1e-4, rtol=1e-4)

"""Conversion of other software's camera axes."""

import dataclasses

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import (
    opencv_from_opengl,
    opengl_from_opencv,
    rotate_clockwise,
)
from unrender.geometry.paths import turntable
from unrender.geometry.poses import se3_exp


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_the_conversion_undoes_itself_and_stays_a_pose(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pose = se3_exp(torch.randn(2, 3, 6, generator=generator))
    other = opencv_from_opengl(pose)
    assert torch.equal(opengl_from_opencv(other), pose)
    assert torch.equal(other[..., 3], pose[..., 3])
    torch.testing.assert_close(torch.linalg.det(other[..., :3]), torch.ones(2, 3))


def test_a_blender_camera_by_hand() -> None:
    # Blender's camera without rotation looks down -z with +y up; this one hangs at z = 5.
    blender = torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 5.0]]])
    cameras = Cameras.from_focal(opencv_from_opengl(blender), 100.0, width=100, height=100)
    torch.testing.assert_close(cameras.rotations[0, :, 2], torch.tensor([0.0, 0.0, -1.0]))
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    pixel, depth = cameras.project(torch.zeros(3, dtype=torch.long), points)
    # +x of the world lies to the right of the middle, +y above it.
    expected = torch.tensor([[50.0, 50.0], [70.0, 50.0], [50.0, 30.0]])
    torch.testing.assert_close(pixel, expected)
    torch.testing.assert_close(depth, torch.full((3,), 5.0))


def test_a_rotated_image_belongs_to_a_rotated_camera() -> None:
    """A point is projected to its rotated pixel."""
    cameras = Cameras.from_focal(turntable(1, 4.0, 0.4), 50.0, 40, 30)
    matrix = torch.tensor([[50.0, 0, 18], [0, 60, 13], [0, 0, 1]])
    lens = dataclasses.replace(cameras, intrinsics=matrix[None])
    pose, turned = rotate_clockwise(lens.world_from_camera[0], matrix, 30)
    assert torch.linalg.det(pose[:, :3]) > 0
    after = Cameras(pose[None], turned[None], 30, 40)
    points = torch.rand(5, 3) - 0.5
    index = torch.zeros(5, dtype=torch.long)
    before, depth = lens.project(index, points)
    found, far = after.project(index, points)
    x, y = before.T
    torch.testing.assert_close(found, torch.stack([30 - y, x], dim=1), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(far, depth)
    # As the image itself is turned: the upper left corner comes to the upper right.
    image = torch.zeros(30, 40)
    image[0, 0] = 1
    assert image.rot90(-1, (0, 1))[0, 29] == 1

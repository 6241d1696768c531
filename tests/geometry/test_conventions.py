"""Conversion of other software's camera axes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
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

"""Projection matrices are decomposed into the cameras they were composed of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.geometry.paths import turntable
from unrender.geometry.projection import decompose_projection


@settings(deadline=None)
@given(factor=st.sampled_from([1.0, -1.0, 250.0, -1e-3]), skew=st.floats(-3, 3))
def test_a_projection_gives_its_camera_back(factor: float, skew: float) -> None:
    pose = turntable(6, 4.0, 0.5).double()
    matrix = torch.tensor([[90.0, skew, 31], [0, 95, 24], [0, 0, 1]]).double()
    rotation = pose[:, :, :3].mT
    camera_from_world = torch.cat([rotation, -rotation @ pose[:, :, 3:]], dim=2)
    found_matrix, found_pose = decompose_projection(factor * matrix @ camera_from_world)
    torch.testing.assert_close(found_matrix, matrix.expand(6, 3, 3), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found_pose, pose, rtol=1e-5, atol=1e-5)


def test_singular_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="singular"):
        decompose_projection(torch.ones(2, 3, 4))

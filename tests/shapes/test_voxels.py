"""Voxels: their places, their faces, and what they share with others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.mesh import face_normals, is_watertight
from unrender.shapes.voxels import VoxelGrid, cubify, density_from_occupancy


def volume(vertices: Tensor, faces: Tensor) -> float:
    """By the divergence theorem; positive if the faces face outward."""
    return float((vertices[faces].mean(1) * face_normals(vertices, faces)).sum() / 6)


def test_cells_are_where_the_grid_says() -> None:
    grid = VoxelGrid(torch.zeros(2, 3, 4), (1.0, 2.0, 3.0), 0.5)
    centers = grid.centers()
    assert centers[0, 0, 0].tolist() == [1.25, 2.25, 3.25]
    assert centers[1, 2, 3].tolist() == [1.75, 3.25, 4.75]
    assert grid.high == (2.0, 3.5, 5.0)
    cube = VoxelGrid.cube(torch.zeros(4, 4, 4), 1.0)
    assert cube.low == (-1, -1, -1)
    assert cube.high == (1, 1, 1)


def test_points_are_the_filled_cells() -> None:
    values = torch.zeros(3, 3, 3)
    values[1, 2, 0] = 1
    assert VoxelGrid(values, (0.0, 0.0, 0.0), 2.0).points().tolist() == [[3.0, 5.0, 1.0]]


def test_one_cell_is_a_cube() -> None:
    mesh = cubify(VoxelGrid(torch.ones(1, 1, 1), (1.0, 2.0, 3.0), 2.0))
    assert len(mesh.vertices) == 8
    assert len(mesh.faces) == 12
    assert is_watertight(mesh.faces)
    assert mesh.vertices.amin(0).tolist() == [1, 2, 3]
    assert mesh.vertices.amax(0).tolist() == [3, 4, 5]
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(8)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=60, max_size=60))
def test_the_faces_enclose_the_filled_cells(filled: list[bool]) -> None:
    """Volume and area are those of the cells, whatever touches what."""
    values = torch.tensor(filled).view(3, 4, 5).float()
    mesh = cubify(VoxelGrid(values, (-1.0, 0.0, 2.0), 0.5))
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(int(values.sum()) / 8, abs=1e-4)
    padded = torch.nn.functional.pad(values, (1,) * 6)
    walls = sum(float(padded.diff(dim=axis).abs().sum()) for axis in range(3))
    assert len(mesh.faces) == 2 * walls


def test_a_blob_is_watertight() -> None:
    grid = VoxelGrid.cube(torch.zeros(12, 12, 12), 1.0)
    ball = grid.with_values((grid.centers().norm(dim=-1) < 0.8).float())
    assert is_watertight(cubify(ball).faces)


def test_cells_that_touch_along_an_edge_are_not() -> None:
    values = torch.zeros(2, 2, 1)
    values[0, 0], values[1, 1] = 1, 1
    assert not is_watertight(cubify(VoxelGrid(values, (0.0, 0.0, 0.0), 1.0)).faces)


def test_an_empty_grid_has_no_faces() -> None:
    mesh = cubify(VoxelGrid.cube(torch.zeros(3, 3, 3), 1.0))
    assert len(mesh.faces) == len(mesh.vertices) == 0


def test_iou() -> None:
    a, b = (VoxelGrid.cube(torch.zeros(4, 4, 4), 1.0) for _ in range(2))
    assert a.iou(b) == 1
    a.values[:2], b.values[1:3] = 1, 1
    assert a.iou(b) == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="have different cells"):
        a.iou(VoxelGrid.cube(torch.zeros(4, 4, 4), 2.0))
    with pytest.raises(InputError, match="4×4×4 cells"):
        a.iou(VoxelGrid.cube(torch.zeros(5, 5, 5), 1.25))


def test_density_stops_a_ray_as_probably() -> None:
    values = torch.tensor([0.0, 0.25, 0.5, 0.99, 1.0]).view(5, 1, 1).requires_grad_()
    grid = VoxelGrid(values, (0.0, 0.0, 0.0), 0.1)
    density = density_from_occupancy(grid)
    stopped = 1 - (-density.values * 0.1).exp()
    torch.testing.assert_close(stopped, values)
    density.values.sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()

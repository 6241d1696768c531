"""From form to form: what is gained back, and where surfaces lie."""

import math

import pytest
import torch
import trimesh
from inputs import sample
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.convert import (
    mesh_from_occupancy,
    mesh_from_points,
    mesh_from_sdf,
    mesh_from_voxels,
    sdf_voxels_from_mesh,
    surface_voxels_from_mesh,
    voxels_from_function,
    voxels_from_mesh,
    voxels_from_points,
    voxels_from_sdf,
)
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit.occupancy import sdf_occupancy
from unrender.shapes.mesh import Mesh, face_normals, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid, cubify


def grid(cells: int, half_width: float = 1.0) -> VoxelGrid:
    return VoxelGrid.cube(torch.zeros(cells, cells, cells), half_width)


def volume(mesh: Mesh) -> float:
    """By the divergence theorem; positive if the faces face outward."""
    middles = mesh.vertices[mesh.faces].mean(1)
    return float((middles * face_normals(mesh.vertices, mesh.faces)).sum() / 6)


@pytest.mark.parametrize("cells", [8, 16, 32])
def test_vertices_of_a_sphere_are_within_the_square_of_a_cell(cells: int) -> None:
    mesh = mesh_from_sdf(sdf.translated(sdf.sphere(0.7), (0.05, -0.02, 0.01)), grid(cells))
    radius = (mesh.vertices - torch.tensor([0.05, -0.02, 0.01])).norm(dim=1)
    assert (radius - 0.7).abs().max() < 0.3 * (2 / cells) ** 2
    assert is_watertight(mesh.faces)
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=3 * (2 / cells) ** 2)


def test_meshes_are_in_world_coordinates() -> None:
    """Of a box that is longer along each axis than along the one before."""
    center = torch.tensor([3.0, -2.0, 1.0])
    shape = sdf.translated(sdf.box((0.3, 0.5, 0.9)), center.tolist())
    like = VoxelGrid(torch.zeros(20, 26, 40), (2.5, -2.65, 0.0), 0.05)
    mesh = mesh_from_sdf(shape, like)
    expected = torch.tensor([0.3, 0.5, 0.9])
    torch.testing.assert_close(mesh.vertices.amin(0), center - expected, atol=0.01, rtol=0)
    torch.testing.assert_close(mesh.vertices.amax(0), center + expected, atol=0.01, rtol=0)
    assert volume(mesh) == pytest.approx(8 * 0.3 * 0.5 * 0.9, rel=0.02)


def test_blocks_far_from_the_surface_change_no_sign_and_no_mesh() -> None:
    """Of a thin box, in a grid whose sides are no multiples of a block."""
    shape = sdf.translated(sdf.box((0.3, 0.02, 0.9)), (0.1, 0.2, 0.3))
    like = VoxelGrid(torch.zeros(49, 37, 61), (-0.5, -0.4, -0.9), 0.04)
    values, every = (
        voxels_from_sdf(shape, like).values,
        voxels_from_function(shape, like).values,
    )
    assert torch.equal(values < 0, every < 0)
    assert 0.2 < float((values == every).float().mean()) < 0.9
    found = mesh_from_voxels(like.with_values(-values), 0.0, closed=False)
    expected = mesh_from_sdf(shape, like)
    assert torch.equal(found.faces, expected.faces)
    torch.testing.assert_close(found.vertices, expected.vertices)


def test_a_surface_that_leaves_the_grid_is_open_or_closed() -> None:
    open_mesh = mesh_from_sdf(sdf.sphere(1.2), grid(16))
    assert not is_watertight(open_mesh.faces)
    closed = mesh_from_occupancy(sdf_occupancy(sdf.sphere(1.2), 0.1), grid(16))
    assert is_watertight(closed.faces)
    full = mesh_from_voxels(grid(4).with_values(torch.ones(4, 4, 4)))
    assert is_watertight(full.faces)
    torch.testing.assert_close(full.vertices.abs().amax(0), torch.ones(3))


@pytest.mark.parametrize("seed", range(5))
def test_any_field_has_a_closed_surface(seed: int) -> None:
    values = torch.randn(10, 11, 12, generator=torch.Generator().manual_seed(seed))
    mesh = mesh_from_voxels(VoxelGrid(values, (0.0, 0.0, 0.0), 1.0), 0.1)
    assert is_watertight(mesh.faces)
    assert volume(mesh) > 0


def test_where_no_value_passes_the_level_there_is_no_mesh() -> None:
    for values in (torch.zeros(4, 4, 4), torch.full((4, 4, 4), 0.4)):
        assert len(mesh_from_voxels(grid(4).with_values(values)).faces) == 0
    with pytest.raises(InputError, match="contain NaN or Inf"):
        mesh_from_voxels(grid(4).with_values(torch.full((4, 4, 4), math.nan)))


def icosphere() -> Mesh:
    mesh = trimesh.creation.icosphere(4, radius=0.8)
    return Mesh(torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long())


def test_a_solid_is_the_cells_whose_centres_are_inside() -> None:
    found = voxels_from_mesh(icosphere(), grid(24))
    expected = voxels_from_function(sdf_occupancy(sdf.sphere(0.797)), grid(24))
    assert found.iou(expected) > 0.99


def test_distances_come_back_as_a_mesh() -> None:
    found = mesh_from_voxels(
        VoxelGrid.cube(-sdf_voxels_from_mesh(icosphere(), grid(24)).values, 1.0), 0.0
    )
    assert is_watertight(found.faces)
    torch.testing.assert_close(
        found.vertices.norm(dim=1), torch.full((len(found.vertices),), 0.8), atol=5e-3, rtol=0
    )


def test_solid_cells_come_back_from_their_faces() -> None:
    values = (torch.rand(6, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    cells = grid(6).with_values(values)
    assert torch.equal(voxels_from_mesh(cubify(cells), cells).values, values)
    assert torch.equal(voxels_from_points(cells.points(), cells).values, values)


def reachable(free: Tensor) -> Tensor:
    """The free cells that a path through sides leads to from the first one."""
    seen = torch.zeros_like(free)
    seen[0, 0, 0] = True
    while True:
        more = seen.clone()
        for axis in range(3):
            for step in (1, -1):
                moved = seen.roll(step, axis)
                moved.select(axis, 0 if step == 1 else -1).fill_(False)
                more |= moved & free
        if torch.equal(more, seen):
            return seen
        seen = more


def test_a_surface_of_cells_has_no_gap() -> None:
    surface = surface_voxels_from_mesh(icosphere(), grid(20))
    walls = surface.filled()
    assert 0 < walls.float().mean() < 0.3
    outside = reachable(~walls)
    assert not outside[10, 10, 10]
    inside = voxels_from_mesh(icosphere(), grid(20)).filled()
    assert not (outside & inside).any()


def test_points_outside_are_left_out() -> None:
    points = torch.tensor([[-1.0, -1.0, -1.0], [0.99, 0.99, 0.99], [1.01, 0, 0], [0, -1.01, 0]])
    found = voxels_from_points(points, grid(4))
    assert found.values.nonzero().tolist() == [[0, 0, 0], [3, 3, 3]]


def test_a_grid_around_points_has_margins() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.24]])
    like = VoxelGrid.around(points, 14, margin=2)
    assert like.values.shape == (14, 9, 7)
    low, high = torch.tensor(like.low), torch.tensor(like.high)
    assert like.cell == pytest.approx(0.1)
    assert (low <= points.amin(0) - 0.199).all()
    assert (high >= points.amax(0) + 0.199).all()
    torch.testing.assert_close((low + high) / 2, points.mean(0))
    for bad in (points[:0], points[:1]):
        with pytest.raises(InputError, match=r"cannot fit|all points coincide"):
            VoxelGrid.around(bad, 14)


def test_a_cow_keeps_its_volume() -> None:
    loaded = trimesh.load_mesh(sample("meshes/spot.obj"), process=True)
    cow = Mesh(torch.tensor(loaded.vertices).float(), torch.tensor(loaded.faces).long())
    like = VoxelGrid.around(cow.vertices, 40)
    solid = voxels_from_mesh(cow, like)
    assert float(solid.values.sum()) * like.cell**3 == pytest.approx(volume(cow), rel=0.03)
    assert volume(cubify(solid)) == pytest.approx(volume(cow), rel=0.03)
    again = mesh_from_sdf(sdf.mesh_sdf(cow), like)
    assert is_watertight(again.faces)
    assert volume(again) == pytest.approx(volume(cow), rel=0.02)


def test_a_sphere_comes_back_from_its_points() -> None:
    ball = icosphere()
    drawn = sample_surface(ball, 5000, torch.Generator().manual_seed(0))
    grid = VoxelGrid.around(drawn.points, 40)
    mesh = mesh_from_points(PointCloud(drawn.points, None, drawn.normals), grid)
    assert is_watertight(mesh.faces)
    assert float((mesh.vertices.norm(dim=1) - 0.8).abs().max()) < 0.01
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * 0.8**3, rel=0.01)


def test_points_without_normals_have_no_inside() -> None:
    cloud = PointCloud(torch.rand(10, 3))
    with pytest.raises(InputError, match="normals"):
        mesh_from_points(cloud, VoxelGrid.around(cloud.points, 8))

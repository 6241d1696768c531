"""Signed distances and occupancies: closed forms, and the laws that distances obey."""

import math
from collections.abc import Callable

import pytest
import torch
import trimesh
from inputs import sample
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit.occupancy import mesh_occupancy, sdf_occupancy
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import is_inside, point_to_mesh_distance2
from unrender.shapes.voxels import VoxelGrid


def around(count: int, seed: int = 0, reach: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return reach * (2 * torch.rand(count, 3, generator=generator) - 1)


def turn() -> Tensor:
    c, s = math.cos(0.7), math.sin(0.7)
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


SHAPES: dict[str, Callable[[], SDF]] = {
    "sphere": lambda: sdf.sphere(0.8),
    "box": lambda: sdf.box((0.5, 0.7, 0.3)),
    "torus": lambda: sdf.torus(1.0, 0.3),
    "cylinder": lambda: sdf.cylinder(0.5, 0.8),
    "capsule": lambda: sdf.capsule((-0.5, 0.0, 0.1), (0.6, 0.3, 0.0), 0.4),
    "plane": lambda: sdf.plane((0.6, 0.0, 0.8), 0.2),
    "moved": lambda: sdf.translated(
        sdf.rotated(sdf.scaled(sdf.box((1.0, 0.5, 0.7)), 0.6), turn()), (0.2, -0.1, 0.3)
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_distance_has_slope_one_and_leads_to_the_surface(name: str) -> None:
    """|∇d| = 1, and p − d ∇d lies on the surface, at all but a few points."""
    shape = SHAPES[name]()
    points = around(500).double().requires_grad_()
    distance = shape(points)
    (slope,) = torch.autograd.grad(distance.sum(), points)
    torch.testing.assert_close(slope.norm(dim=1), torch.ones(500).double())
    there = shape((points - distance[:, None] * slope).detach())
    assert there.abs().max() < 1e-6
    assert 0 < (distance < 0).double().mean() < 1


def test_known_distances() -> None:
    points = torch.tensor([[2.0, 0, 0], [0.0, 0, 3], [0.1, 0, 0]])
    for shape, expected in (
        (sdf.sphere(1.0), [1, 2, -0.9]),
        (sdf.box((1.0, 1.0, 1.0)), [1, 2, -0.9]),
        (sdf.torus(1.0, 0.5), [0.5, 10**0.5 - 0.5, 0.4]),
        (sdf.cylinder(1.0, 2.0), [1, 1, -0.9]),
        (sdf.capsule((0.0, 0.0, -1.0), (0.0, 0.0, 1.0), 0.5), [1.5, 1.5, -0.4]),
        (sdf.plane((0.0, 0.0, 1.0), 1.0), [-1, 2, -1]),
        (sdf.translated(sdf.sphere(1.0), (2.0, 0.0, 0.0)), [-1, 13**0.5 - 1, 0.9]),
        (sdf.scaled(sdf.sphere(1.0), 2.0), [0, 1, -1.9]),
    ):
        torch.testing.assert_close(shape(points), torch.tensor(expected).float())


def test_rotations_turn_the_shape() -> None:
    shape = sdf.rotated(sdf.box((2.0, 0.1, 0.1)), turn())
    tip = turn() @ torch.tensor([2.0, 0, 0])
    torch.testing.assert_close(shape(tip[None]), torch.zeros(1), atol=1e-6, rtol=0)


def test_sets_are_those_of_their_insides() -> None:
    a, b = sdf.sphere(0.9), sdf.translated(sdf.box((0.5, 0.5, 0.5)), (0.6, 0.0, 0.0))
    points = around(2000, reach=1.5)
    in_a, in_b = a(points) < 0, b(points) < 0
    assert torch.equal(sdf.union(a, b)(points) < 0, in_a | in_b)
    assert torch.equal(sdf.intersection(a, b)(points) < 0, in_a & in_b)
    assert torch.equal(sdf.difference(a, b)(points) < 0, in_a & ~in_b)


def test_a_smooth_union_fills_the_seam_alone() -> None:
    a, b = sdf.sphere(0.5), sdf.translated(sdf.sphere(0.5), (0.8, 0.0, 0.0))
    points = around(2000, reach=1.5)
    blended, sharp = sdf.smooth_union(a, b, 0.2)(points), sdf.union(a, b)(points)
    far = (a(points) - b(points)).abs() > 0.2
    torch.testing.assert_close(blended[far], sharp[far])
    assert (blended <= sharp + 1e-6).all()
    seam = torch.tensor([[0.4, 0.0, 0.3]])
    torch.testing.assert_close(sdf.smooth_union(a, b, 0.2)(seam), a(seam) - 0.05)


def icosphere(subdivisions: int = 4) -> Mesh:
    mesh = trimesh.creation.icosphere(subdivisions)
    return Mesh(torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long())


def test_a_mesh_of_a_sphere_is_nearly_a_sphere() -> None:
    points = around(500)
    found, expected = sdf.mesh_sdf(icosphere())(points), sdf.sphere(1.0)(points)
    torch.testing.assert_close(found, expected, atol=3e-3, rtol=0)
    assert torch.equal(mesh_occupancy(icosphere())(points) > 0.5, found < 0)


def test_gradients_of_the_distance_to_a_mesh() -> None:
    mesh = icosphere(0)
    vertices = mesh.vertices.double().requires_grad_()
    points = around(20).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, v: point_to_mesh_distance2(p, mesh.with_vertices(v)), (points, vertices)
    )


def test_points_drawn_to_a_mesh_reach_it() -> None:
    mesh = icosphere(2)
    points = around(50).requires_grad_()
    (slope,) = torch.autograd.grad(point_to_mesh_distance2(points, mesh).sum(), points)
    moved = points.detach() - slope / 2
    assert point_to_mesh_distance2(moved, mesh).max() < 1e-9


def test_a_mesh_without_faces_is_refused() -> None:
    nothing = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long))
    with pytest.raises(InputError, match="without faces"):
        sdf.mesh_sdf(nothing)(torch.zeros(1, 3))


def test_a_grid_of_a_linear_function_is_it() -> None:
    grid = VoxelGrid(torch.zeros(4, 5, 6), (-1.0, 0.5, 2.0), 0.3)
    slope = torch.tensor([0.3, -0.5, 1.0])
    grid = grid.with_values(grid.centers() @ slope)
    low, high = torch.tensor(grid.low) + 0.15, torch.tensor(grid.high) - 0.15
    points = low + (high - low) * torch.rand(100, 3)
    torch.testing.assert_close(sdf.grid_sdf(grid)(points), points @ slope)
    with pytest.raises(InputError, match="cannot be interpolated"):
        sdf.grid_sdf(VoxelGrid.cube(torch.zeros(1, 1, 1), 1.0))(points)


def test_occupancies() -> None:
    shape, points = sdf.sphere(0.8), around(500, reach=0.99)
    hard, soft = sdf_occupancy(shape)(points), sdf_occupancy(shape, 0.1)(points)
    assert torch.equal(hard > 0.5, soft > 0.5)
    assert set(hard.tolist()) == {0.0, 1.0}
    surface = torch.tensor([[0.8, 0.0, 0.0], [0.9, 0.0, 0.0]])
    expected = torch.tensor([0.5, 1 / (1 + math.e)])
    torch.testing.assert_close(sdf_occupancy(shape, 0.1)(surface), expected)


def test_a_bunny_with_holes_has_an_inside() -> None:
    """Its holes are in the sole: the belly is inside all the same, and what is below is not."""
    mesh = trimesh.load_mesh(sample("meshes/stanford-bunny.obj"), process=True)
    bunny = Mesh(torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long())
    assert not mesh.is_watertight
    low, high = bunny.vertices.amin(0), bunny.vertices.amax(0)
    belly = bunny.vertices.mean(0)
    under = torch.stack([belly[0], low[1] - 0.1 * (high - low)[1], belly[2]])
    assert is_inside(torch.stack([belly, under, high]), bunny).tolist() == [True, False, False]

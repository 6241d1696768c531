"""Simplification of meshes."""

import pytest
import torch

from unrender.errors import InputError
from unrender.shapes.components import face_components
from unrender.shapes.mesh import Mesh, face_areas, is_watertight, join_meshes
from unrender.shapes.mesh_checks import mesh_problems
from unrender.shapes.primitives import cube, icosphere, torus
from unrender.shapes.simplify import simplify
from unrender.shapes.textures import VertexColors


def grid(cells: int) -> Mesh:
    """The square [0, 1]² in the plane z = 0."""
    axis = torch.arange(cells + 1) / cells
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    corner = (torch.arange(cells)[:, None] * (cells + 1) + torch.arange(cells)).flatten()
    next_row = corner + cells + 1
    faces = [[corner, next_row, next_row + 1], [corner, next_row + 1, corner + 1]]
    vertices = torch.stack([x, y, torch.zeros_like(x)], dim=2).view(-1, 3)
    return Mesh(vertices, torch.cat([torch.stack(each, dim=1) for each in faces]))


@pytest.mark.parametrize("most", [4, 7, 300, 1279, 1280, 5000])
def test_there_are_at_most_so_many_faces(most: int) -> None:
    found = simplify(icosphere(3), most)
    assert 0 < len(found.faces) <= most
    assert len(found.faces) >= min(most, 1280) - 2
    assert is_watertight(found.faces)
    assert not mesh_problems(found)


def test_a_sphere_stays_a_sphere() -> None:
    """As well as a regular sphere of so many faces would be: 320 are 0.03 from it."""
    found = simplify(icosphere(4), 320)
    corners = found.vertices[found.faces]
    assert float((found.vertices.norm(dim=1) - 1).abs().max()) < 0.03
    assert float((corners.mean(1).norm(dim=1) - 1).abs().max()) < 0.06
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert float(volume) == pytest.approx(4 / 3 * torch.pi, rel=0.02)


def test_a_torus_keeps_its_hole() -> None:
    found = simplify(torus(1.0, 0.4, 24, 48), 400)
    sides = found.faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(dim=1).values.unique(dim=0)
    assert is_watertight(found.faces)
    assert len(found.vertices) - len(sides) + len(found.faces) == 0


def test_a_square_keeps_its_border() -> None:
    found = simplify(grid(20), 60)
    assert len(found.faces) <= 60
    assert float(face_areas(found.vertices, found.faces).sum()) == pytest.approx(1, abs=2e-3)
    low, high = found.vertices.aminmax(dim=0)
    torch.testing.assert_close(low, torch.zeros(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([1.0, 1, 0]), atol=2e-3, rtol=0)


def test_more_parts_than_faces() -> None:
    """Then some of them go, whatever that breaks; the number is kept."""
    parts = [Mesh(icosphere(0).vertices + 4 * k, icosphere(0).faces) for k in range(10)]
    joined = join_meshes(parts)
    assert len(simplify(joined, 100).faces) <= 100
    assert int(face_components(simplify(joined, 100)).max()) == 9
    assert len(simplify(joined, 12).faces) <= 12


def test_colors_follow_their_vertices() -> None:
    ball = icosphere(4)
    mesh = Mesh(ball.vertices, ball.faces, VertexColors((ball.vertices + 1) / 2), unlit=True)
    told: list[tuple[int, int]] = []
    found = simplify(mesh, 500, lambda done, total: told.append((done, total)))
    assert isinstance(found.texture, VertexColors)
    assert float((found.texture.colors - (found.vertices + 1) / 2).abs().max()) < 0.05
    assert found.unlit
    assert told[-1] == (len(mesh.faces) - 500, len(mesh.faces) - 500)


def test_other_textures_are_refused() -> None:
    painted = cube(torch.rand(6, 3))
    assert simplify(painted, 100) is painted
    with pytest.raises(InputError, match="face colors cannot be simplified"):
        simplify(painted, 5)

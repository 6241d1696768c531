"""Normals found for points without any: outward, on convex and on bent shapes."""

import pytest
import torch
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.shapes.mesh import Mesh, join_meshes
from unrender.shapes.point_cloud_sdf import oriented_normals
from unrender.shapes.points import estimate_normals
from unrender.shapes.primitives import icosphere, torus
from unrender.shapes.sampling import sample_surface


def moved(mesh: Mesh, by: float) -> Mesh:
    return mesh.with_vertices(mesh.vertices + torch.tensor([by, 0.0, 0.0]))


SHAPES = {
    "sphere": icosphere(3),
    "torus": torus(1.0, 0.4, 24, 48),
    "two": join_meshes([icosphere(3), moved(torus(1.0, 0.4, 24, 48), 4.0)]),
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_they_point_outward(name: str) -> None:
    drawn = sample_surface(SHAPES[name], 3000, torch.Generator().manual_seed(0))
    found = oriented_normals(drawn.points)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3000))
    assert float(((found * drawn.normals).sum(1) > 0.5).float().mean()) > 0.99


def test_the_count_of_right_ones_can_fail() -> None:
    """Turned toward a viewpoint alone, a torus has many that point inward."""
    drawn = sample_surface(SHAPES["torus"], 3000, torch.Generator().manual_seed(0))
    naive = -estimate_normals(drawn.points, torch.zeros(3))
    assert float(((naive * drawn.normals).sum(1) > 0.5).float().mean()) < 0.9


def test_they_turn_with_the_points() -> None:
    drawn = sample_surface(SHAPES["torus"], 1000, torch.Generator().manual_seed(0)).points
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    turn = turn * torch.linalg.det(turn)
    turned = oriented_normals(drawn @ turn.T)
    cosine = (normalize(oriented_normals(drawn) @ turn.T, dim=1) * turned).sum(1)
    assert float(cosine.median()) > 0.999
    assert float((cosine > 0.9).float().mean()) > 0.99


def test_too_few_points() -> None:
    with pytest.raises(InputError, match="at least 100"):
        oriented_normals(torch.rand(50, 3))

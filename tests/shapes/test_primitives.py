"""Shapes by formula: closed, outward, and as large as the formulas of their bodies say."""

import math

import pytest
import torch

from unrender.shapes.mesh import Mesh, edges_of, face_areas, is_watertight
from unrender.shapes.primitives import (
    cube,
    cylinder,
    icosphere,
    parametric_surface,
    tetrahedron,
    torus,
    triangle,
    uv_sphere,
)
from unrender.shapes.textures import FaceAtlas


def volume(mesh: Mesh) -> float:
    """By Gauss' theorem: positive if closed and outward."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum()) / 6


def area(mesh: Mesh) -> float:
    return float(face_areas(mesh.vertices, mesh.faces).sum().detach())


def euler(mesh: Mesh) -> int:
    return len(mesh.vertices) - len(edges_of(mesh.faces).vertices) + len(mesh.faces)


SOLIDS = {
    "tetrahedron": (tetrahedron(), 2, 8 / 9 / 3**0.5, 8 / 3**0.5),
    "cube": (cube(), 2, 1.0, 6.0),
    "icosphere": (icosphere(4), 2, 4 / 3 * math.pi, 4 * math.pi),
    "uv_sphere": (uv_sphere(80, 160), 2, 4 / 3 * math.pi, 4 * math.pi),
    "a sphere of one ring": (uv_sphere(2, 4), 2, 4 / 3, 4 * 3**0.5),
    "cylinder": (cylinder(0.5, 3.0, 200, 2), 2, 0.75 * math.pi, 3.5 * math.pi),
    "torus": (torus(2.0, 0.5, 80, 200), 0, math.pi**2, 4 * math.pi**2),
}


@pytest.mark.parametrize("name", list(SOLIDS))
def test_solids_are_closed_outward_and_of_their_size(name: str) -> None:
    mesh, characteristic, inside, outside = SOLIDS[name]
    assert is_watertight(mesh.faces)
    assert euler(mesh) == characteristic
    assert volume(mesh) == pytest.approx(inside, rel=0.01)
    assert area(mesh) == pytest.approx(outside, rel=0.01)
    assert float(mesh.vertices.mean(0).abs().max()) < 1e-5
    # The net can fail: a mesh turned inside out has a negative volume.
    assert volume(Mesh(mesh.vertices, mesh.faces.flip(1))) < 0


@pytest.mark.parametrize("level", range(5))
def test_an_icosphere_of_any_level(level: int) -> None:
    mesh = icosphere(level)
    assert len(mesh.vertices) == 10 * 4**level + 2
    assert len(mesh.faces) == 20 * 4**level
    torch.testing.assert_close(mesh.vertices.norm(dim=1), torch.ones(len(mesh.vertices)))
    areas = face_areas(mesh.vertices, mesh.faces)
    assert float(areas.max() / areas.min()) < 2


def test_the_colours_of_a_cube() -> None:
    colors = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    mesh = cube(colors)
    assert isinstance(mesh.texture, FaceAtlas)
    assert len(mesh.texture.images) == len(mesh.faces) == 12
    middle = mesh.vertices[mesh.faces].mean(1)
    axis = middle.abs().argmax(1)
    side = 2 * axis + (middle.gather(1, axis[:, None])[:, 0] > 0)
    faces = torch.arange(12)
    found = mesh.texture.sample(mesh.faces, faces, torch.full((12, 3), 1 / 3))
    assert torch.equal(found, colors[side])


def test_a_triangle_is_seen_from_above() -> None:
    mesh = triangle()
    a, b, c = mesh.vertices[mesh.faces[0]]
    assert float(torch.linalg.cross(b - a, c - a)[2]) > 0
    assert area(mesh) == pytest.approx(3 * 3**0.5 / 4)


@pytest.mark.parametrize("wrap_u", [False, True])
@pytest.mark.parametrize("wrap_v", [False, True])
def test_the_grid_of_a_surface(wrap_u: bool, wrap_v: bool) -> None:
    scale = torch.tensor(2.0, requires_grad=True)

    def plane(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return scale * torch.stack([u, v, torch.zeros_like(u)], dim=-1)

    mesh = parametric_surface(plane, 3, 4, wrap_u, wrap_v)
    assert len(mesh.vertices) == (4 + (not wrap_u)) * (3 + (not wrap_v))
    assert len(mesh.faces) == 2 * 3 * 4
    assert edges_of(mesh.faces).closed == (wrap_u and wrap_v)
    if not (wrap_u or wrap_v):
        assert area(mesh) == pytest.approx(4.0)
        face_areas(mesh.vertices, mesh.faces).sum().backward()
        assert float(scale.grad) == pytest.approx(4.0)

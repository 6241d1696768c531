"""Each kind of problem is told of where it is, and nowhere else."""

import dataclasses

import pytest
import torch

from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_checks import clean_mesh, mesh_problems
from unrender.shapes.primitives import cube, icosphere, tetrahedron, torus, triangle
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors


@pytest.mark.parametrize("mesh", [cube(), icosphere(2), torus(2.0, 1.0, 8, 9), tetrahedron()])
def test_sound_meshes_have_none(mesh: Mesh) -> None:
    assert mesh_problems(mesh) == []


def changed(**fields: torch.Tensor) -> Mesh:
    return dataclasses.replace(tetrahedron(), **fields)


SOLID = tetrahedron()
BRANCH = torch.cat([SOLID.faces, torch.tensor([[0, 1, 4]])])
TIP = torch.cat([SOLID.vertices, torch.tensor([[3.0, 3, 3]])])


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (changed(vertices=SOLID.vertices * float("nan")), ["4 vertices contain NaN or Inf"]),
        (changed(faces=SOLID.faces + 1), ["faces refer to vertices beyond the 4"]),
        (changed(faces=SOLID.faces - 1), ["faces refer to vertices beyond the 4"]),
        (changed(vertices=TIP), ["1 unused vertices"]),
        (
            changed(faces=torch.cat([SOLID.faces, SOLID.faces[:1, [0, 0, 1]]])),
            ["1 degenerate faces (no area)"],
        ),
        (
            changed(faces=torch.cat([SOLID.faces, SOLID.faces[2:3].flip(1)])),
            [
                "1 duplicate faces",
                "3 non-manifold edges",
                "3 edges between faces of inconsistent orientation",
            ],
        ),
        (
            changed(faces=torch.cat([SOLID.faces[:3], SOLID.faces[3:].flip(1)])),
            ["3 edges between faces of inconsistent orientation"],
        ),
        (
            changed(vertices=TIP, faces=BRANCH),
            [
                "2 boundary edges (the mesh is open)",
                "1 non-manifold edges",
                "inconsistent orientation",
            ],
        ),
        (triangle(), ["3 boundary edges"]),
    ],
)
def test_each_problem_is_told(mesh: Mesh, words: list[str]) -> None:
    found = mesh_problems(mesh)
    for word in words:
        assert any(word in line for line in found), found
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize("kind", ["colors", "uv", "atlas", "none"])
def test_cleaning_keeps_every_good_face_and_its_colours(kind: str) -> None:
    box = cube()
    before = torch.stack([box.faces[3, [0, 0, 1]], box.faces[0], box.faces[5].roll(1)])
    faces = torch.cat([before, box.faces, box.faces[7:8].flip(1)])
    generator = torch.Generator().manual_seed(0)
    texture = {
        "colors": VertexColors(torch.rand(8, 3, generator=generator)),
        "uv": UVTexture(torch.rand(4, 4, 3), torch.rand(9, 2), torch.randint(9, (16, 3))),
        "atlas": FaceAtlas(torch.rand(16, 2, 2, 3, generator=generator)),
        "none": None,
    }[kind]
    mesh = Mesh(box.vertices, faces, texture)
    clean = clean_mesh(mesh)
    assert mesh_problems(clean) == []
    assert torch.equal(clean.vertices, box.vertices)
    # Those that came first stay, instead of those that come again.
    kept = [1, 2] + [3 + k for k in range(12) if k not in (0, 5)]
    assert torch.equal(clean.faces, faces[kept])
    if texture is not None:
        weights = torch.full((12, 3), 1 / 3)
        assert clean.texture is not None
        torch.testing.assert_close(
            clean.texture.sample(clean.faces, torch.arange(12), weights),
            texture.sample(mesh.faces, torch.tensor(kept), weights),
        )
    assert torch.equal(clean_mesh(clean).faces, clean.faces)

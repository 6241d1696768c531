"""Mesh files: real ones are read as others read them, and what is written comes back."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import inputs
import numpy as np
import pytest
import torch
import trimesh
from inputs import SAMPLES, SHARED
from PIL import Image

from unrender.errors import InputError
from unrender.shapes.files import meshes, ply
from unrender.shapes.files.meshes import WRITABLE_MESH_SUFFIXES, read_mesh, write_mesh
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.mesh_checks import mesh_problems
from unrender.shapes.primitives import cube, icosphere
from unrender.shapes.textures import FaceAtlas, Texture, UVTexture, VertexColors


def sample(name: str) -> Path:
    return inputs.sample(f"meshes/{name}")


def corner_colors(mesh: Mesh) -> torch.Tensor:
    """Just within each corner of each face: atlases have no colour on an edge."""
    assert mesh.texture is not None
    face = torch.arange(len(mesh.faces)).repeat_interleave(3)
    weights = (0.9 * torch.eye(3) + 0.1 / 3).repeat(len(mesh.faces), 1)
    return mesh.texture.sample(mesh.faces, face, weights).view(-1, 3, 3)


REAL: dict[str, tuple[int, int, type | None, bool]] = {
    "spot_textured/cow.obj": (2930, 5856, UVTexture, True),
    "spot.obj": (2930, 5856, None, True),
    "teapot.obj": (1292, 2464, None, False),
    "suzanne.obj": (507, 968, None, False),
    "armadillo.obj": (49990, 99976, None, True),
    "stanford-bunny.obj": (35947, 69451, None, False),
    "fuze_textured/fuze.obj": (502, 1000, UVTexture, True),
    "crate_textured/crate.obj": (8, 12, UVTexture, True),
    "BoxTextured.glb": (8, 12, UVTexture, True),
    "Duck.glb": (2108, 4212, UVTexture, True),
    "bathtub_0154.ply": (1494, 1194, None, False),
    "modelnet_chairs/chair_0890.off": (1658, 2996, None, False),
}


MADE: dict[str, tuple[int, int, type | None, bool]] = {
    "ring.obj": (200, 400, UVTexture, True),
    "egg.obj": (162, 320, None, True),
    "open_ball.obj": (162, 308, None, False),
    "balls.obj": (102, 192, None, True),
    "crate.obj": (8, 12, UVTexture, True),
    "box.glb": (8, 12, UVTexture, True),
    "ring.glb": (200, 400, UVTexture, True),
    "bowl.ply": (162, 210, None, False),
    "table.off": (32, 48, None, True),
    "cube.stl": (8, 12, None, True),
}
FILES = {SHARED / "meshes" / name: facts for name, facts in REAL.items()}
FILES = {path: facts for path, facts in FILES.items() if path.exists()}
FILES |= {SAMPLES / "meshes" / name: facts for name, facts in MADE.items()}


@pytest.mark.parametrize("path", list(FILES), ids=lambda path: path.name)
def test_files_of_every_format(path: Path) -> None:
    mesh = read_mesh(path)
    vertices, faces, texture, watertight = FILES[path]
    assert (len(mesh.vertices), len(mesh.faces)) == (vertices, faces)
    assert type(mesh.texture) is (type(None) if texture is None else texture)
    assert is_watertight(mesh.faces) == watertight
    assert mesh.vertices.dtype == torch.float32


@pytest.mark.parametrize("name", ["spot_textured/cow.obj", "Duck.glb", "bathtub_0154.ply"])
def test_corners_are_where_another_reader_has_them(name: str) -> None:
    """Faces may come in another order: by their corners they are the same."""
    ours = read_mesh(sample(name))
    loaded: Any = trimesh.load(sample(name), process=False)
    theirs = loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    places = torch.from_numpy(np.array(theirs.vertices[theirs.faces])).float()
    if not name.endswith(".ply"):
        x, y, z = places.unbind(-1)
        places = torch.stack([x, -z, y], dim=-1)
    mine = [ours.vertices[ours.faces]]
    others = [places]
    if isinstance(ours.texture, UVTexture):
        mine.append(ours.texture.uv[ours.texture.faces_uv])
        others.append(torch.from_numpy(np.array(theirs.visual.uv[theirs.faces])).float())
    found, expected = (torch.cat(x, dim=2).flatten(1) for x in (mine, others))
    # Each of ours is nearest to one of theirs, and within rounding.
    nearest = torch.cdist(found.double(), expected.double()).min(dim=1)
    assert len(nearest.indices.unique()) == len(found)
    assert float(nearest.values.max()) < 1e-5 * float(found.abs().max())


def test_the_cow_has_its_picture() -> None:
    mesh = read_mesh(sample("spot_textured/cow.obj"))
    assert isinstance(mesh.texture, UVTexture)
    picture = np.asarray(Image.open(sample("spot_textured/cow_texture.png")).convert("RGB"))
    assert torch.equal((mesh.texture.image * 255).round().byte(), torch.tensor(picture))
    assert mesh_problems(mesh) == []


# What is written comes back.


def textured(kind: str) -> Mesh:
    """A sphere on which every format's vertices are told apart."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        # As bytes hold them.
        return torch.randint(256, shape, generator=generator) / 255

    sphere = icosphere(1)
    textures: dict[str, Texture | None] = {
        "none": None,
        "vertices": VertexColors(random(len(sphere.vertices), 3)),
        "faces": FaceAtlas(random(len(sphere.faces), 1, 1, 3)),
        "image": UVTexture(
            random(5, 7, 3),
            torch.rand(50, 2, generator=generator),
            torch.randint(50, (len(sphere.faces), 3), generator=generator),
        ),
    }
    return dataclasses.replace(sphere, texture=textures[kind])


HOLDS = {
    ".obj": ("none", "vertices", "faces", "image"),
    ".glb": ("none", "vertices", "faces", "image"),
    ".ply": ("none", "vertices", "faces"),
    ".off": ("none",),
    ".stl": ("none",),
}


@pytest.mark.parametrize("up", [None, "y", "z"])
@pytest.mark.parametrize(("ending", "kind"), [(e, k) for e, ks in HOLDS.items() for k in ks])
def test_meshes_come_back(
    tmp_path: Path, ending: str, kind: str, up: Literal["y", "z"] | None
) -> None:
    mesh = textured(kind)
    write_mesh(tmp_path / f"a{ending}", mesh, up)
    found = read_mesh(tmp_path / f"a{ending}", up)
    torch.testing.assert_close(found.vertices[found.faces], mesh.vertices[mesh.faces])
    assert is_watertight(found.faces)
    if ending != ".stl":
        assert torch.equal(found.faces, mesh.faces) or ending == ".glb"
    if mesh.texture is None:
        assert found.texture is None
    else:
        torch.testing.assert_close(corner_colors(found), corner_colors(mesh), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(e, k) for e in WRITABLE_MESH_SUFFIXES for k in HOLDS[".obj"] if k not in HOLDS[e]],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, ending: str, kind: str) -> None:
    with pytest.raises(InputError, match="cannot hold"):
        write_mesh(tmp_path / f"a{ending}", textured(kind))
    assert list(tmp_path.iterdir()) == []


def test_fine_atlases_and_unknown_endings_are_refused(tmp_path: Path) -> None:
    fine = dataclasses.replace(cube(), texture=FaceAtlas(torch.rand(12, 2, 2, 3)))
    with pytest.raises(InputError, match="cannot hold"):
        write_mesh(tmp_path / "a.glb", fine)
    with pytest.raises(InputError, match="unknown mesh format"):
        write_mesh(tmp_path / "a.fbx", cube())
    with pytest.raises(InputError, match="is not a mesh file"):
        read_mesh(tmp_path / "a.fbx")
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "missing.obj")


@pytest.mark.parametrize("ending", [".ply", ".glb"])
def test_normals_come_back(tmp_path: Path, ending: str) -> None:
    sphere = icosphere(1)
    mesh = dataclasses.replace(sphere, normals=sphere.vertices.flip(1))
    write_mesh(tmp_path / f"a{ending}", mesh)
    found = read_mesh(tmp_path / f"a{ending}")
    assert found.normals is not None
    torch.testing.assert_close(found.normals, mesh.normals)


def test_of_gradients_only_the_numbers_are_written(tmp_path: Path) -> None:
    mesh = textured("vertices")
    assert isinstance(mesh.texture, VertexColors)
    learned = Mesh(
        mesh.vertices.clone().requires_grad_(),
        mesh.faces,
        VertexColors(mesh.texture.colors.clone().requires_grad_()),
    )
    for ending in (".obj", ".ply", ".glb"):
        write_mesh(tmp_path / f"a{ending}", learned)
        assert len(read_mesh(tmp_path / f"a{ending}").faces) == len(mesh.faces)


def test_what_is_no_mesh_is_not_written(tmp_path: Path) -> None:
    box = cube()
    for mesh, message in (
        (Mesh(box.vertices, box.faces[:0]), "no faces"),
        (Mesh(box.vertices / 0, box.faces), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            write_mesh(tmp_path / "a.glb", mesh)
    assert list(tmp_path.iterdir()) == []
    wild = Mesh(box.vertices, box.faces, VertexColors(torch.linspace(-1, 2, 24).view(8, 3)))
    for ending in (".glb", ".obj", ".ply"):
        write_mesh(tmp_path / f"a{ending}", wild)
        found = read_mesh(tmp_path / f"a{ending}").texture
        assert isinstance(found, VertexColors)
        assert 0 == float(found.colors.min()) < float(found.colors.max()) == 1


def test_axes(tmp_path: Path) -> None:
    mesh = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))
    turned = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    for ending, up, expected in (
        (".ply", None, torch.eye(3)),
        (".ply", "z", torch.eye(3)),
        # What the file calls y is our z; its z is our −y.
        (".ply", "y", turned),
        (".obj", "z", turned.T),
        (".obj", None, torch.eye(3)),
        (".glb", "z", turned.T),
        (".glb", None, torch.eye(3)),
    ):
        write_mesh(tmp_path / f"a{ending}", mesh)
        torch.testing.assert_close(read_mesh(tmp_path / f"a{ending}", up).vertices, expected)


def test_an_obj_with_its_image_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mesh(tmp_path / "a.obj", textured("image"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"a.obj", "a.mtl", "a.png"}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unrender.shapes.files.obj.write_image", full)
    other = dataclasses.replace(textured("image"), vertices=2 * icosphere(1).vertices)
    with pytest.raises(InputError, match="No space left"):
        write_mesh(tmp_path / "a.obj", other)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_are_at_most_so_large(tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.ply", cube())
    os.truncate(tmp_path / "a.ply", ply.MAX_BYTES + 1)
    with pytest.raises(InputError, match="is larger than"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize("mixer", [meshes.HASH_MULTIPLIER, 0])
def test_vertices_at_one_place_are_found_by_any_key(
    monkeypatch: pytest.MonkeyPatch, mixer: int
) -> None:
    """Also where all rows have one key."""
    monkeypatch.setattr(meshes, "HASH_MULTIPLIER", mixer)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-2, 3, (200, 3), generator=generator).float()
    rows[3] = -0.0
    first, number = meshes._unique_rows(rows)
    assert torch.equal(rows[first][number], rows)
    assert len(first) == len({tuple(row) for row in rows.tolist()})
    # The first of each, in the order of the file.
    assert bool((first.diff() > 0).all())
    assert bool((first[number] <= torch.arange(200)).all())

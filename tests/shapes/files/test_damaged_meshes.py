"""Real meshes and clouds, damaged: each is a sound one or refused in a line, and soon."""

import json
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inputs import sample

from unrender.errors import InputError
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.files.points import read_points
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.textures import FaceAtlas, UVTexture

FILES = [
    "meshes/suzanne.obj",
    "meshes/crate_textured/crate.obj",
    "meshes/crate_textured/crate.mtl",
    "meshes/crate_textured/crate.jpg",
    "meshes/BoxTextured.glb",
    "meshes/Duck.glb",
    "meshes/bathtub_0154.ply",
    "meshes/modelnet_chairs/chair_0890.off",
    "a.stl",
    "a.ply",
]
CLOUDS = [
    "meshes/bunny_pointcloud.npz",
    "meshes/bathtub_0154.ply",
    "single_image_3d/r2n2_car_02958343_1a0bc9ab/model_normal.xyz",
]
Read = TypeVar("Read")
SECONDS = 10.0
"""Of which each needs a fraction; what is announced and not there must not take any."""
few = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)
cuts = st.one_of(st.just(1.0), st.floats(0, 1))


@pytest.fixture
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The file that is damaged, in a copy of its folder, and the mesh to read."""
    name = request.param
    if "/" not in name:
        sphere = icosphere(1)
        colors = torch.rand(len(sphere.faces), 1, 1, 3) if name.endswith(".ply") else None
        atlas = None if colors is None else FaceAtlas(colors)
        write_mesh(tmp_path / name, Mesh(sphere.vertices, sphere.faces, atlas))
        return tmp_path / name, tmp_path / name
    source = sample(name)
    for file in source.parent.glob(f"{source.stem}.*"):
        shutil.copy(file, tmp_path)
        (tmp_path / file.name).chmod(0o644)
    path = tmp_path / source.name
    return path, path.with_suffix(".obj") if path.suffix in (".mtl", ".jpg") else path


def damaged(data: bytes, cut: float, places: list[tuple[float, int]]) -> bytes:
    """The first part of a file, with some bytes changed."""
    left = bytearray(data[: round(cut * len(data))])
    for place, value in places:
        if left:
            left[int(place * (len(left) - 1))] = value
    return bytes(left)


def read_or_refused(read: Callable[[Path], Read], path: Path) -> Read | None:
    """None if it is refused, in one line."""
    refused = ""
    try:
        return read(path)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused
    # What the shapes' checker found is no refusal: outside of tests it would go on.
    assert "ype-check" not in refused
    return None


def check(path: Path) -> bool:
    """Whether it is read; that it is sound then, and refused in one line otherwise."""
    start = time.perf_counter()
    mesh = read_or_refused(read_mesh, path)
    assert time.perf_counter() - start < SECONDS
    if mesh is None:
        return False
    assert len(mesh.faces) > 0
    assert bool(mesh.vertices.isfinite().all())
    assert 0 <= int(mesh.faces.min()) <= int(mesh.faces.max()) < len(mesh.vertices)
    if isinstance(mesh.texture, UVTexture):
        rows = mesh.texture.faces_uv
        assert 0 <= int(rows.min()) <= int(rows.max()) < len(mesh.texture.uv)
        assert len(rows) == len(mesh.faces)
    if mesh.normals is not None:
        assert bool(mesh.normals.isfinite().all())
    return True


@pytest.mark.parametrize("copied", FILES, indirect=True)
def test_undamaged_copies_are_read(copied: tuple[Path, Path]) -> None:
    """The net can hold something: it is the damage that is refused below."""
    assert check(copied[1])


# Of damaged notes in photographs, which are not read.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("copied", FILES, indirect=True)
@few
@given(cut=cuts, places=changes)
def test_cut_and_changed_bytes(
    copied: tuple[Path, Path], cut: float, places: list[tuple[float, int]]
) -> None:
    file, mesh = copied
    whole = file.read_bytes()
    try:
        file.write_bytes(damaged(whole, cut, places))
        check(mesh)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize(
    "copied",
    [name for name in FILES if name.endswith((".glb", "a.stl", ".ply"))],
    indirect=True,
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_binary_files_are_refused(copied: tuple[Path, Path], share: float) -> None:
    file, mesh = copied
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    assert not check(mesh)


odd = st.sampled_from(
    [None, "x", "", True, -1, 0, 3, 7.5, 1e30, 1e400, 10**400, 1 << 33, [], {}, [[1]], "../a"]
)


@pytest.mark.parametrize("copied", ["meshes/BoxTextured.glb", "meshes/Duck.glb"], indirect=True)
@settings(few, max_examples=80)
@given(way=st.lists(st.floats(0, 1), min_size=1, max_size=6), value=odd)
@example(way=[0.375, 0.0, 0.0], value=None)
@example(way=[0.4375, 0.0, 0.0, 0.0, 0.5, 0.0], value=None)
def test_json_of_another_kind(copied: tuple[Path, Path], way: list[float], value: Any) -> None:
    file, mesh = copied
    whole = file.read_bytes()
    (size,) = struct.unpack_from("<I", whole, 12)
    content = json.loads(whole[20 : 20 + size])
    replace_one(content, way, value)
    head = json.dumps(content).encode()
    head += b" " * (-len(head) % 4)
    rest = whole[20 + size :]
    start = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(head) + len(rest), len(head), b"JSON")
    try:
        file.write_bytes(start + head + rest)
        check(mesh)
    finally:
        file.write_bytes(whole)


def replace_one(content: Any, way: list[float], value: Any) -> None:
    """Go down by shares of each level's length, and put another value in the last place."""
    for step, share in enumerate(way):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = keys[int(share * (len(keys) - 1))]
        below = content[key]
        if step == len(way) - 1 or not isinstance(below, dict | list):
            content[key] = value
            return
        content = below


keys = ["v", "vt", "f", "usemtl", "mtllib", "a.mtl", "\\"]
values = ["0", "1", "-1", "2/2", "3//3", "nan", "inf", "1e400", str(10**20)]
words = st.sampled_from(keys + values)


@few
@given(lines=st.lists(st.lists(words, max_size=6), max_size=12))
def test_lines_of_any_words(tmp_path: Path, lines: list[list[str]]) -> None:
    head = "v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n"
    (tmp_path / "a.obj").write_text(head + "\n".join(" ".join(line) for line in lines))
    check(tmp_path / "a.obj")
    (tmp_path / "a.off").write_text("OFF\n" + "\n".join(" ".join(line) for line in lines))
    check(tmp_path / "a.off")


@pytest.mark.parametrize("name", CLOUDS)
@few
@given(cut=cuts, places=changes)
def test_damaged_clouds(
    tmp_path: Path, name: str, cut: float, places: list[tuple[float, int]]
) -> None:
    source = sample(name)
    path = tmp_path / source.name
    path.write_bytes(damaged(source.read_bytes(), cut, places))
    cloud = read_or_refused(read_points, path)
    assert cloud is None or len(cloud) > 0
    assert cloud is None or bool(cloud.points.isfinite().all())

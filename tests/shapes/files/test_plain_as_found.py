"""PLY, OFF, STL and XYZ as programs write them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.notes import collected
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.files.points import read_points
from unrender.shapes.files.shape import load_shape
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import cube
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors

PLACES = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0)]
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (51, 51, 51), (255, 255, 255)]
FACES = [(0, 1, 2, 3), (1, 4, 2), (0, 2, 3)]
TRIANGLES = [[0, 1, 2], [0, 2, 3], [1, 4, 2], [0, 2, 3]]


def binary_ply(order: str, extra: bool = False) -> bytes:
    """Triangles and quads, with colors of vertices and of faces, and other elements."""
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    lines = ["ply", f"format {name} 1.0", "comment made by hand"]
    lines += ["element camera 2", "property list uchar float view", "property int id"] * extra
    lines += [f"element vertex {len(PLACES)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
    lines += [f"element face {len(FACES)}", "property uchar flags"]
    lines += ["property list uchar int vertex_indices", "property float area"]
    lines += ["element edge 1", "property int vertex1"] * extra
    body = b""
    if extra:
        body += struct.pack(order + "B2fi", 2, 1, 2, 7) + struct.pack(order + "Bi", 0, 8)
    for place, color in zip(PLACES, COLORS, strict=True):
        body += struct.pack(order + "3f4B", *place, *color, 255)
    for face in FACES:
        body += struct.pack(order + f"BB{len(face)}if", 3, len(face), *face, 0.5)
    body += struct.pack(order + "i", 4) if extra else b""
    return "\n".join([*lines, "end_header\n"]).encode() + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [False, True])
def test_binary_ply_of_mixed_polygons(tmp_path: Path, order: str, extra: bool) -> None:
    (tmp_path / "a.ply").write_bytes(binary_ply(order, extra))
    mesh = load_shape(tmp_path / "a.ply")
    assert isinstance(mesh, Mesh)
    assert mesh.vertices.tolist() == [list(map(float, place)) for place in PLACES]
    assert mesh.faces.tolist() == TRIANGLES
    assert isinstance(mesh.texture, VertexColors)
    assert torch.equal(mesh.texture.colors, torch.tensor(COLORS) / 255)
    (tmp_path / "b.ply").write_bytes(binary_ply(order, extra)[:-6])
    with pytest.raises(InputError, match="truncated"):
        load_shape(tmp_path / "b.ply")


def text_ply(more: str, rows: list[str], faces: list[str], of_face: str = "") -> str:
    head = f"ply\nformat ascii 1.0\n{more}element vertex {len(PLACES)}\nproperty float x\n"
    head += "property float y\nproperty float z\n@"
    head += f"element face {len(faces)}\nproperty list uchar int vertex_index\n{of_face}"
    vertices = [" ".join(map(str, p)) + r for p, r in zip(PLACES, rows, strict=True)]
    return head + "end_header\n" + "\n".join([*vertices, *faces]) + "\n"


NONE = [""] * 5
POLYGONS = ["4 0 1 2 3", "3 1 4 2", "3 0 2 3"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_text_ply_of_any_line_endings(tmp_path: Path, ending: str, bom: str) -> None:
    text = bom + text_ply("", NONE, POLYGONS).replace("@", "").replace("\n", ending)
    (tmp_path / "a.ply").write_bytes(text.encode())
    assert read_mesh(tmp_path / "a.ply").faces.tolist() == TRIANGLES


def test_colors_of_polygons_of_different_sizes(tmp_path: Path) -> None:
    faces = [f"{f} {r} 0 0" for f, r in zip(POLYGONS, (255, 0, 51), strict=True)]
    of_face = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    (tmp_path / "a.ply").write_text(text_ply("", NONE, faces, of_face).replace("@", ""))
    mesh = read_mesh(tmp_path / "a.ply")
    assert isinstance(mesh.texture, FaceAtlas)
    reds = mesh.texture.images[:, 0, 0, 0].tolist()
    assert reds == pytest.approx([1, 1, 0, 0.2])


@pytest.mark.parametrize("where", ["corners", "vertices"])
def test_ply_with_an_image(tmp_path: Path, where: str) -> None:
    """The image's left half is red and its right half blue; coordinates are x / 2 and y."""
    image = Image.new("RGB", (4, 1), (255, 0, 0))
    image.paste((0, 0, 255), (2, 0, 4, 1))
    image.save(tmp_path / "t.png")
    uv = [f" {x / 2} {y}" for x, y, _ in PLACES]
    if where == "vertices":
        properties = "property float s\nproperty float t\n"
        text = text_ply("comment TextureFile t.png\n", uv, POLYGONS).replace("@", properties)
    else:
        corners = [[int(w) for w in face.split()[1:]] for face in POLYGONS]
        faces = [
            f"{face} {2 * len(rows)}" + "".join(uv[row] for row in rows)
            for face, rows in zip(POLYGONS, corners, strict=True)
        ]
        of_face = "property list uchar float texcoord\n"
        text = text_ply("comment TextureFile t.png\n", NONE, faces, of_face).replace("@", "")
    (tmp_path / "a.ply").write_text(text)
    mesh = read_mesh(tmp_path / "a.ply")
    assert isinstance(mesh.texture, UVTexture)
    middle = torch.full((2, 3), 1 / 3)
    found = mesh.texture.sample(mesh.faces, torch.tensor([1, 2]), middle)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    # Without its image, and for the geometry alone.
    (tmp_path / "t.png").unlink()
    with collected() as notes:
        assert read_mesh(tmp_path / "a.ply").texture is None
    assert "'t.png', which is missing" in notes[0]
    with collected() as notes:
        read_mesh(tmp_path / "a.ply", colored=False)
    assert notes == []


def test_triangle_strips_of_ply(tmp_path: Path) -> None:
    text = (
        text_ply("", NONE, []).replace("@", "").replace("element face 0", "element tristrips 1")
    )
    text = text.replace("vertex_index\n", "vertex_indices\n") + "8 0 1 3 2 -1 1 4 2\n"
    (tmp_path / "a.ply").write_text(text)
    mesh = load_shape(tmp_path / "a.ply")
    assert isinstance(mesh, Mesh)
    assert mesh.faces.tolist() == [[0, 1, 3], [3, 1, 2], [1, 4, 2]]


VERTICES = "".join(f"{x} {y} {z}@{k}\n" for k, (x, y, z) in enumerate(PLACES))


def off(head: str, colors: list[str] | None = None, faces: str = "4 0 1 2 3\n") -> str:
    text = VERTICES
    for k in range(5):
        text = text.replace(f"@{k}", "" if colors is None else f" {colors[k]}")
    return f"{head}\n{len(PLACES)} {len(faces.splitlines())} 0\n{text}{faces}"


@pytest.mark.parametrize("head", ["OFF", "\ufeffOFF", "# a\n\nOFF # b", "NOFF", "STOFF"])
def test_heads_of_off(tmp_path: Path, head: str) -> None:
    behind = {"NOFF": "0 0 1", "STOFF": "0 1"}.get(head, "")
    (tmp_path / "a.off").write_text(off(head, [behind] * 5), "utf-8")
    mesh = read_mesh(tmp_path / "a.off")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.texture is None


@pytest.mark.parametrize(("head", "message"), [("4OFF", "is 4OFF"), ("nOFF", "is nOFF"),
                                               ("OFF BINARY", "binary OFF")])  # fmt: skip
def test_other_off_is_refused_by_name(tmp_path: Path, head: str, message: str) -> None:
    (tmp_path / "a.off").write_text(off(head))
    with pytest.raises(InputError, match=message):
        read_mesh(tmp_path / "a.off")


def test_colors_of_off(tmp_path: Path) -> None:
    for colors in (
        ["255 0 0 255", "0 255 0 255", "0 0 255 255", "51 51 51 255", "255 255 255 255"],
        ["1.0 0 0", "0 1.0 0", "0 0 1.0", "0.2 0.2 0.2", "1 1 1"],
    ):
        (tmp_path / "a.off").write_text(off("COFF", colors))
        mesh = read_mesh(tmp_path / "a.off")
        assert isinstance(mesh.texture, VertexColors)
        torch.testing.assert_close(mesh.texture.colors, torch.tensor(COLORS) / 255)
    (tmp_path / "a.off").write_text(
        off("OFF", None, "4 0 1 2 3 255 0 0\n3 1 4 2 0 0 51\n2 0 1\n")
    )
    with collected() as notes:
        mesh = read_mesh(tmp_path / "a.off")
    assert mesh.faces.tolist() == TRIANGLES[:3]
    assert "1 faces of fewer than 3 corners" in notes[0]


def test_stl_as_programs_write_it(tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.stl", cube())
    whole = (tmp_path / "a.stl").read_bytes()
    solid = b"solid thing".ljust(80) + whole[80:]
    cases = {
        "solid": (solid, None),
        "behind": (whole + bytes(16), "16 bytes behind"),
        "uncounted": (whole[:80] + bytes(4) + whole[84:], "has 12: they are read"),
    }
    for name, (content, noted) in cases.items():
        (tmp_path / f"{name}.stl").write_bytes(content)
        with collected() as notes:
            mesh = read_mesh(tmp_path / f"{name}.stl")
        assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)
        assert len(notes) == (noted is not None)
        assert noted is None or noted in notes[0]
    facet = "FACET NORMAL 0 0 1\n OUTER LOOP\n  VERTEX 0 0 {0}\n  VERTEX 1 0 {0}\n"
    facet += "  vertex 0 1e0 {0}\n ENDLOOP\nENDFACET\n"
    parts = "".join(f"solid {k}\n{facet.format(k)}endsolid {k}\n" for k in range(3))
    for text in (parts, parts.replace("\n", "\r\n"), "\ufeff" + parts):
        (tmp_path / "b.stl").write_bytes(text.encode())
        assert len(read_mesh(tmp_path / "b.stl").faces) == 3
    for content in (whole[:-1], parts.encode()[:-40], b"solid\n", b"\0" * 90):
        (tmp_path / "b.stl").write_bytes(content)
        with pytest.raises(InputError):
            read_mesh(tmp_path / "b.stl")


def cloud(folder: Path, text: str, ending: str = ".xyz") -> PointCloud:
    (folder / f"a{ending}").write_text(text)
    return read_points(folder / f"a{ending}")


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3\n4 5 6\n",
        "# x y z\n1 2 3 # one\n4 5 6\n",
        "// made by hand\n1,2,3\n4,5,6\n",
        "1, 2, 3\n4, 5, 6\n",
        "1;2;3\n4;5;6\n",
        "1\t2\t3\n\n4\t5\t6",
        "X Y Z\n1 2 3\n4 5 6\n",
        "2\n1 2 3\n4 5 6\n",
        "\ufeff1 2 3\r\n4 5 6\r\n",
        "1 2 3 0.5\n4 5 6 0.7\n",
    ],
)
def test_points_as_text(tmp_path: Path, text: str) -> None:
    found = cloud(tmp_path, text)
    assert found.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.colors is None
    assert found.normals is None


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("1 2 3 255 0 51\n4 5 6 0 0 255\n", ".xyz"),
        ("1 2 3 255 0 51\n4 5 6 0 0 255\n", ".xyzrgb"),
        ("1 2 3 1 0 0.2\n4 5 6 0 0 1\n", ".xyz"),
        ("1 2 3 255 0 51 255\n4 5 6 0 0 255 255\n", ".xyz"),
        ("2\n1 2 3 -700 255 0 51\n4 5 6 -9 0 0 255\n", ".pts"),
        ("//X Y Z R G B\n1 2 3 255 0 51\n4 5 6 0 0 255\n", ".xyz"),
        ("x y z nx ny nz red green blue\n1 2 3 0 0 1 255 0 51\n4 5 6 0 1 0 0 0 255\n", ".xyz"),
        ("1 2 3 255 0 51 0 0 1\n4 5 6 0 0 255 0 1 0\n", ".xyz"),
        ("1 2 3 0 0 -1 255 0 51\n4 5 6 0 1 0 0 0 255\n", ".xyz"),
    ],
)
def test_colors_of_points_as_text(tmp_path: Path, text: str, ending: str) -> None:
    found = cloud(tmp_path, text, ending)
    assert found.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.colors is not None
    torch.testing.assert_close(found.colors, torch.tensor([[1, 0, 0.2], [0, 0, 1]]))
    assert (found.normals is not None) == (len(text.splitlines()[-1].split()) == 9)
    assert read_points(tmp_path / f"a{ending}", colored=False).colors is None


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("1 2 3 0 0 1\n4 5 6 1 0 0\n", ".xyz"),
        ("1 2 3 0 0 5\n4 5 6 2 0 0\n", ".xyzn"),
        ("x y z nx ny nz\n1 2 3 0 0 2\n4 5 6 2 0 0\n", ".xyz"),
    ],
)
def test_normals_of_points_as_text(tmp_path: Path, text: str, ending: str) -> None:
    found = cloud(tmp_path, text, ending)
    assert found.colors is None
    assert found.normals is not None
    assert found.normals.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_bytes_as_colors_of_npz(tmp_path: Path) -> None:
    colors = np.array([[255, 0, 51]], np.uint8)
    np.savez(tmp_path / "a.npz", points=np.zeros((1, 3)), colors=colors)
    found = read_points(tmp_path / "a.npz")
    assert found.colors is not None
    torch.testing.assert_close(found.colors, torch.tensor([[1, 0, 0.2]]))

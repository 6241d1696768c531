"""OBJ files as programs write them: read, with a note on what is left out."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from unrender.notes import collected
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
PLACES = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
MAPPED = f"mtllib m.mtl\n{SQUARE}{PLACES}usemtl a\nf 1/1 2/2 3/3 4/4\n"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(path: Path) -> None:
    """Red and green above, blue and white below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (2, 2))
    for place, color in zip(
        [(0, 0), (1, 0), (0, 1), (1, 1)], [RED, GREEN, BLUE, WHITE], strict=True
    ):
        image.putpixel(place, color)
    image.save(path)


def read(folder: Path, obj: str, mtl: str | None = None, name: str = "a.obj") -> Mesh:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(obj)
    if mtl is not None:
        (folder / "m.mtl").write_text(mtl)
    return read_mesh(folder / name, "z")


def color(mesh: Mesh, x: float, y: float) -> list[float]:
    """The color at a point of the square, rounded."""
    assert mesh.texture is not None
    for k, face in enumerate(mesh.faces):
        a, b, c = mesh.vertices[face, :2]
        matrix = torch.stack([b - a, c - a], dim=1)
        v, w = torch.linalg.solve(matrix, torch.tensor([x, y]) - a).tolist()
        if min(v, w, 1 - v - w) >= 0:
            weights = torch.tensor([[1 - v - w, v, w]])
            found = mesh.texture.sample(mesh.faces, torch.tensor([k]), weights)[0]
            return [round(value, 2) for value in found.tolist()]
    raise AssertionError("the point is on no face")


CORNER_COLORS = {(0.2, 0.8): RED, (0.8, 0.8): GREEN, (0.2, 0.2): BLUE, (0.8, 0.2): WHITE}


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("map_Kd t.png", "t.png"),
        ("map_Kd ../images/t.png", "../images/t.png"),
        ("map_Kd ..\\images\\t.png", "../images/t.png"),
        ("map_Kd my picture.png", "my picture.png"),
        ('map_Kd "my picture.png"', "my picture.png"),
        ("map_Kd t.png # base", "t.png"),
        ("map_Kd T.PNG", "t.png"),
        ("map_Kd t.tga", "t.tga"),
        ("map_Kd t.bmp", "t.bmp"),
        ("map_Kd -bm 0.5 -blendu on -mm 0 1 -texres 512 t.png", "t.png"),
        ("map_Kd -s 1 1 1 -o 0 0 0 t.png", "t.png"),
        ("map_Kd -clamp on t.png", "t.png"),
        ("MAP_KD t.png", "t.png"),
    ],
)
def test_images_are_found_as_they_are_named(tmp_path: Path, line: str, file: str) -> None:
    folder = tmp_path / "models"
    picture(folder / file)
    with collected() as notes:
        mesh = read(folder, MAPPED, f"newmtl a\nKd 0 0 0\n{line}\n")
    assert notes == []
    assert isinstance(mesh.texture, UVTexture)
    for (x, y), expected in CORNER_COLORS.items():
        assert color(mesh, x, y) == [value / 255 for value in expected]


def test_an_absolute_path_of_another_machine_is_looked_for_beside(tmp_path: Path) -> None:
    picture(tmp_path / "t.png")
    for name in ("C:\\Users\\me\\t.png", "/home/me/t.png"):
        with collected() as notes:
            mesh = read(tmp_path, MAPPED, f"newmtl a\nmap_Kd {name}\n")
        assert isinstance(mesh.texture, UVTexture)
        assert "t.png beside it was read instead" in notes[0]


def test_scale_and_offset_of_an_image_are_applied(tmp_path: Path) -> None:
    """u' = u s + o: half of the image, from its right lower quarter."""
    picture(tmp_path / "t.png")
    mesh = read(tmp_path, MAPPED, "newmtl a\nmap_Kd -s .5 .5 1 -o 0.5 0 0 t.png\n")
    assert color(mesh, 0.5, 0.5) == [1, 1, 1]
    mesh = read(tmp_path, MAPPED, "newmtl a\nmap_Kd -o .5 -s 2 t.png\n")
    # u' = 2 · 0.125 + 0.5 = 0.75 and v' = 0.25: white; and again a repeat later.
    assert color(mesh, 0.125, 0.125) == [1, 1, 1]
    assert color(mesh, 0.625, 0.125) == [1, 1, 1]


def test_a_clamped_image_goes_on_with_its_edge(tmp_path: Path) -> None:
    picture(tmp_path / "t.png")
    obj = MAPPED.replace(PLACES, "vt -1 0\nvt 2 0\nvt 2 1\nvt -1 1\n")
    clamped = read(tmp_path, obj, "newmtl a\nmap_Kd -clamp on t.png\n")
    assert color(clamped, 0.05, 0.9) == [1, 0, 0]
    assert color(clamped, 0.95, 0.9) == [0, 1, 0]
    repeated = read(tmp_path, obj, "newmtl a\nmap_Kd t.png\n")
    assert color(repeated, 0.3, 0.9) == [0, 1, 0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Kd 0.5", [0.5, 0.5, 0.5]),
        ("Ka 0\nKd 0.2 0.4 0.6 # comment", [0.2, 0.4, 0.6]),
        ("Kd 51 102 153", [0.2, 0.4, 0.6]),
        ("Kd 1.005 0 0", [1, 0, 0]),
        ("Ks 1 1 1", [1, 1, 1]),
    ],
)
def test_plain_colors(tmp_path: Path, line: str, expected: list[float]) -> None:
    mesh = read(tmp_path, MAPPED, f"newmtl a\n{line}\n")
    assert isinstance(mesh.texture, VertexColors)
    assert color(mesh, 0.5, 0.25) == expected


@pytest.mark.parametrize(
    "line", ["mtllib x.mtl m.mtl", 'mtllib "m.mtl"', "mtllib m.mtl # a", "mtllib my lib.mtl"]
)
def test_several_libraries_in_a_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.mtl").write_text("newmtl other\nKd 1 0 0\n")
    (tmp_path / "my lib.mtl").write_text("newmtl a\nKd 0 1 0\n")
    mesh = read(tmp_path, MAPPED.replace("mtllib m.mtl", line), "newmtl a\nKd 0 1 0\n")
    assert color(mesh, 0.5, 0.25) == [0, 1, 0]


def test_a_library_without_usemtl(tmp_path: Path) -> None:
    obj = MAPPED.replace("usemtl a\n", "")
    with collected() as notes:
        mesh = read(tmp_path, obj, "newmtl a\nKd 0 1 0\n")
    assert color(mesh, 0.5, 0.25) == [0, 1, 0]
    assert "only material" in notes[0]
    with collected() as notes:
        mesh = read(tmp_path, obj, "newmtl a\nKd 0 1 0\nnewmtl b\n")
    assert mesh.texture is None
    assert "2 materials of its library are not used" in notes[0]


def test_a_material_that_is_missing_leaves_the_others(tmp_path: Path) -> None:
    obj = f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1 2 3\nusemtl gone\nf 1 3 4\n"
    with collected() as notes:
        mesh = read(tmp_path, obj, "newmtl a\nKd 0 0 1\n")
    assert isinstance(mesh.texture, FaceAtlas)
    assert mesh.texture.images[:, 0, 0].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert "'gone'" in notes[0]


def test_an_image_on_faces_of_which_some_have_no_coordinates(tmp_path: Path) -> None:
    picture(tmp_path / "t.png")
    obj = MAPPED.replace("f 1/1 2/2 3/3 4/4", "f 1/1 2/2 3/3\nf 1 3 4")
    with collected() as notes:
        mesh = read(tmp_path, obj, "newmtl a\nmap_Kd t.png\n")
    assert isinstance(mesh.texture, UVTexture)
    assert color(mesh, 0.8, 0.2) == [1, 1, 1]
    assert color(mesh, 0.8, 0.75) == [0, 1, 0]
    assert color(mesh, 0.2, 0.8) == [1, 1, 1]
    assert "1 faces with an image have no valid texture coordinates" in notes[0]


@pytest.mark.parametrize(
    ("rows", "expected", "noted"),
    [
        (["255 0 0", "0 255 0", "0 0 51"], [[1, 0, 0], [0, 1, 0], [0, 0, 0.2]], "0 to 255"),
        (["1 0 0", "0 1 0", "0 0 0.2"], [[1, 0, 0], [0, 1, 0], [0, 0, 0.2]], None),
        (["1 0 0 0.5", "0 1 0 1", "0 0 0.2 1"], [[1, 0, 0], [0, 1, 0], [0, 0, 0.2]], None),
        (["1 1 0 0", "1 0 1 0", "1 0 0 0.2"], [[1, 0, 0], [0, 1, 0], [0, 0, 0.2]], None),
        (["1 0 0", "", "0 0 0.2"], [[1, 0, 0], [1, 1, 1], [0, 0, 0.2]], "1 of 3 vertices"),
        (["1.3 0 0", "0 1 0", "0 0 0.2"], [[1, 0, 0], [0, 1, 0], [0, 0, 0.2]], "cut off"),
        (["-1 0 0", "0 1 0", "0 0 0.2"], None, "not read"),
        (["nan 0 0", "0 1 0", "0 0 0.2"], None, "not read"),
    ],
)
def test_vertex_colors(
    tmp_path: Path, rows: list[str], expected: list[list[float]] | None, noted: str | None
) -> None:
    places = ["0 0 0", "1 0 0", "0 1 0"]
    lines = [f"v {place} {row}\n" for place, row in zip(places, rows, strict=True)]
    with collected() as notes:
        mesh = read(tmp_path, "".join(lines) + "f 1 2 3\n")
    assert len(notes) == (noted is not None)
    assert noted is None or noted in notes[0]
    if expected is None:
        assert mesh.texture is None
    else:
        assert isinstance(mesh.texture, VertexColors)
        torch.testing.assert_close(mesh.texture.colors, torch.tensor(expected).float())


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SQUARE + "f 1 2 3 4\n",
        SQUARE.replace("\n", " # corner\n") + "f 1 2 3 4 # side\n",
        SQUARE.replace("\n", "\r\n") + "f 1 2 3 4\r\n",
        SQUARE.replace("\n", "\r") + "f 1 2 3 4\r",
        SQUARE + "f 1 2 \\\n3 4\n",
        SQUARE + "f -4 -3 -2 -1\n",
        SQUARE + "f 1// 2// 3// 4//\n",
        SQUARE + "f 1/ 2/ 3/ 4/\n",
        SQUARE.replace("v ", "\tv\t") + "f\t1 2 3 4\n",
        SQUARE.replace(" 0\n", " 0 1.0\n") + "f 1 2 3 4\n",
        SQUARE + "g a b\no c\ns off\nvn 0 0 1\nvp 1\nf 1//1 2//1 3//1 4//1\n",
    ],
)
def test_ways_to_write_a_square(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.obj").write_bytes(text.encode())
    with collected() as notes:
        mesh = read_mesh(tmp_path / "a.obj", "z")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert notes == []


def test_elements_that_are_no_faces_are_left_out_with_a_word(tmp_path: Path) -> None:
    with collected() as notes:
        mesh = read(tmp_path, SQUARE + "f 1 2 3 4\nf 1 2\nl 1 2 3\np 1\np 2\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    said = " ".join(notes)
    for what in ("1 faces of fewer than 3 corners", "1 lines", "2 points"):
        assert re.search(what, said), said


def test_coordinates_far_from_the_origin_are_noted(tmp_path: Path) -> None:
    far = SQUARE.replace("v 0", "v 4500000").replace("v 1", "v 4500001")
    with collected() as notes:
        read(tmp_path, far + "f 1 2 3 4\n")
    assert "from the origin" in notes[0]

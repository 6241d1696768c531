"""Each format's own ways, and what of them is refused in one line."""

import base64
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.geometry.poses import so3_exp
from unrender.imaging.color import display_from_linear
from unrender.notes import collected
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.primitives import cube
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors

RED, GREEN, BLUE = torch.eye(3)
CORNERS = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def image(folder: Path, name: str, *rows: list[torch.Tensor]) -> None:
    values = torch.stack([torch.stack(row) for row in rows])
    Image.fromarray((255 * values).byte().numpy()).save(folder / name)


def color_at(mesh: Mesh, face: int) -> list[float]:
    """At the face's middle."""
    assert mesh.texture is not None
    middle = torch.full((1, 3), 1 / 3)
    return mesh.texture.sample(mesh.faces, torch.tensor([face]), middle)[0].tolist()


# OBJ


@pytest.mark.parametrize(
    "faces",
    [
        "f 1 2 3 4",
        "f 1 2 3\nf 1 3 4",
        "f -4 -3 -2 -1",
        "f 1/1 2/2 3/3 4/4",
        "f 1//1 2//1 3//1 4//1",
        "f 1/1/1 2/2/1 3/3/1 4/4/1",
        "f -4/-4/-1 -3/-3/-1 -2/-2/-1 -1/-1/-1",
        "f 1 2 \\\n 3 4",
        "  f\t1 2 3 4  ",
        "g a\ns off\no b\nl 1 2\np 1\n# corners\nf 1 2 3 4\n",
    ],
)
def test_ways_to_write_a_square(tmp_path: Path, faces: str) -> None:
    places = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\n"
    mesh = read_mesh(written(tmp_path, "a.obj", f"# made\n{CORNERS}{places}{faces}\n"))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.texture is None


def test_relative_rows_count_from_where_they_stand(tmp_path: Path) -> None:
    text = CORNERS + "f -4 -3 -2\n" + CORNERS + "f -4 -3 -2\n"
    mesh = read_mesh(written(tmp_path, "a.obj", text))
    assert mesh.faces.tolist() == [[0, 1, 2], [4, 5, 6]]


def test_colours_behind_places(tmp_path: Path) -> None:
    text = "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1 2 3\n"
    mesh = read_mesh(written(tmp_path, "a.obj", text))
    assert isinstance(mesh.texture, VertexColors)
    assert torch.equal(mesh.texture.colors, torch.eye(3))
    assert read_mesh(tmp_path / "a.obj", colored=False).texture is None


def test_one_plain_material_colours_vertices_and_several_faces(tmp_path: Path) -> None:
    written(tmp_path, "a.mtl", "newmtl r\nKd 1 0 0\n\nnewmtl b c\nKd 0 0 1 # blue\n")
    one = f"mtllib a.mtl\n{CORNERS}usemtl r\nf 1 2 3 4\n"
    mesh = read_mesh(written(tmp_path, "one.obj", one))
    assert isinstance(mesh.texture, VertexColors)
    assert color_at(mesh, 1) == [1, 0, 0]
    two = f"mtllib a.mtl\n{CORNERS}f 1 2 3\nusemtl r\nf 1 2 3\nusemtl b c\nf 1 3 4\n"
    mesh = read_mesh(written(tmp_path, "two.obj", two))
    assert isinstance(mesh.texture, FaceAtlas)
    # Faces of no material are white.
    assert [color_at(mesh, k) for k in range(3)] == [[1, 1, 1], [1, 0, 0], [0, 0, 1]]


def test_several_images_and_colours_are_one_image(tmp_path: Path) -> None:
    image(tmp_path, "a.png", [RED, GREEN], [BLUE, RED + GREEN])
    image(tmp_path, "b c.png", [GREEN + BLUE], [RED + BLUE], [RED])
    text = "newmtl a\nKd 0.5 0.5 0.5\nmap_Kd a.png\nnewmtl b\nmap_Kd b c.png\n"
    text += "newmtl c\nKd 0.25 0.5 0.75\nnewmtl unused\nmap_Kd missing.png\n"
    written(tmp_path, "m.mtl", text)
    places = {
        # Face by face: the material, and a place whose colour the image's pixel there has.
        "a": [(0.25, 0.75), (0.75, 0.75), (0.25, 0.25), (1.75, -0.75), (-7.25, 3.25)],
        "b": [(0.5, 5 / 6), (0.5, 0.5), (0.5, 1 / 6)],
        "c": [(0.0, 0.0)],
    }
    expected = [RED, GREEN, BLUE, RED + GREEN, RED + GREEN, GREEN + BLUE, RED + BLUE, RED]
    expected.append(torch.tensor([0.25, 0.5, 0.75]))
    lines = ["mtllib m.mtl", CORNERS.strip()]
    number = 1
    for name, spots in places.items():
        lines.append(f"usemtl {name}")
        for u, v in spots:
            lines += [f"vt {u} {v}"] * 3
            lines.append(f"f 1/{number} 2/{number + 1} 3/{number + 2}")
            number += 3
    mesh = read_mesh(written(tmp_path, "x.obj", "\n".join(lines)))
    assert isinstance(mesh.texture, UVTexture)
    for k, color in enumerate(expected):
        assert color_at(mesh, k) == pytest.approx(color.tolist(), abs=1e-3), k


def test_a_joined_image_is_between_pixels_what_each_was(tmp_path: Path) -> None:
    """A gradient across a whole image, up to its rim, and across its repeats."""
    image(tmp_path, "a.png", [RED, GREEN], [BLUE, RED])
    image(tmp_path, "b.png", [GREEN])
    written(tmp_path, "m.mtl", "newmtl a\nmap_Kd a.png\nnewmtl b\nmap_Kd b.png\n")
    head = f"mtllib m.mtl\n{CORNERS}vt 0 0\nvt 1 0\nvt 1 1\n"
    alone = read_mesh(written(tmp_path, "a.obj", head + "usemtl a\nf 1/1 2/2 3/3\n"))
    both = head + "usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 1/1 2/2 3/3\n"
    together = read_mesh(written(tmp_path, "b.obj", both))
    weights = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    weights = weights / weights.sum(1, keepdim=True)
    face = torch.zeros(200, dtype=torch.long)
    found = [m.texture.sample(m.faces, face, weights) for m in (alone, together) if m.texture]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


MATERIAL = f"mtllib m.mtl\n{CORNERS}vt 0 0\nvt 1 0\nvt 1 1\nusemtl a\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize(
    ("obj", "mtl", "message"),
    [
        (MATERIAL, None, "'m.mtl', which is missing"),
        (MATERIAL, "newmtl a\nmap_Kd b.png\n", "'b.png', which is missing"),
        (MATERIAL, "newmtl a\nmap_Kd ../../secret.png\n", "outside of the folder above"),
        (MATERIAL, "newmtl a\nmap_Kd ..\\..\\secret.png\n", "outside of the folder"),
        (MATERIAL, "newmtl a\nmap_Kd /etc/hostname\n", "outside of the folder"),
        (MATERIAL, "newmtl a\nmap_Kd m.mtl\n", "cannot be read as an image"),
        (MATERIAL, "newmtl a\nmap_Kd -s 2 2 2 b.png\n", "'b.png', which is missing"),
        (MATERIAL, "newmtl a\nKd -2 0 0\n", "from -2 to 0"),
        (MATERIAL, "newmtl a\nKd nan 0 0\n", "not read"),
        (MATERIAL, "newmtl a\nKd spectral x.rfl\n", "not read"),
        (MATERIAL, "newmtl b\nKd 1 0 0\n", "uses the material 'a'"),
        (MATERIAL.replace("m.mtl", "../../n.mtl"), "newmtl a\n", "outside of the folder"),
        (
            MATERIAL.replace("1/1 2/2 3/3", "1 2 3"),
            "newmtl a\nmap_Kd a.png",
            "no valid texture coord",
        ),
        (MATERIAL.replace("vt 0 0", "vt nan 0"), "newmtl a\nmap_Kd a.png", "no valid"),
    ],
)
def test_materials_that_cannot_be_read_are_noted(
    tmp_path: Path, obj: str, mtl: str | None, message: str
) -> None:
    folder = tmp_path / "above" / "scene"
    folder.mkdir(parents=True)
    image(tmp_path, "secret.png", [RED])
    image(folder, "a.png", [RED])
    if mtl is not None:
        written(folder, "m.mtl", mtl)
    path = written(folder, "a.obj", obj)
    with collected() as notes:
        mesh = read_mesh(path)
    assert len(mesh.faces) == 1
    assert mesh.texture is None
    assert len(notes) == 1
    assert re.search(message, notes[0]), notes[0]
    # For the geometry alone, none of them is looked at.
    with collected() as notes:
        assert read_mesh(path, colored=False).texture is None
    assert notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (CORNERS, "4 points and no faces.*read_points"),
        (CORNERS + "f 1 2\n", "no faces"),
        (CORNERS + "f 1 2 5\n", r"face 0 names the vertices \[0, 1, 4\]"),
        (CORNERS + "f 1 2 0\n", "names the vert"),
        (CORNERS + "f 1 2 -9\n", "names the vert"),
        (CORNERS + "f 1 2 x\n", "is not an OBJ file"),
        (CORNERS + "f 1 2 -x\n", "a face is"),
        (CORNERS + "f 1/1 2/1 3/1\n", None),
        (CORNERS + "vt 0 0\nf 1/1 2/1 3/9\n", None),
        (CORNERS + "v 1 2\nf 1 2 3\n", "line `v` 5"),
        (CORNERS + "v 1 2 nan\nf 1 2 3\n", "vertex 4 is not finite"),
        (CORNERS + "v 1 2 1e39\nf 1 2 3\n", "vertex 4 is not finite"),
        (CORNERS + "v 1 2 a\nf 1 2 3\n", "is not an OBJ file"),
        ("v 0,5 0,5 0,5\nf 1 1 1\n", "'0,5': write a decimal point"),
    ],
)
def test_text_that_is_refused(tmp_path: Path, text: str, message: str | None) -> None:
    path = written(tmp_path, "a.obj", text)
    if message is None:
        # Without any vt, its rows mean nothing, and are not looked at.
        assert len(read_mesh(path).faces) == 1
        return
    with pytest.raises(InputError, match=message) as caught:
        read_mesh(path)
    assert "\n" not in str(caught.value)


# PLY, OFF and STL

PLY = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
PLY += "property float z\n{}element face 1\nproperty list uchar int vertex_indices\n"
PLY += "end_header\n0 0 0{}\n1 0 0{}\n1 1 0{}\n0 1 0{}\n4 0 1 2 3\n"
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def test_polygons_and_colours_of_ply(tmp_path: Path) -> None:
    plain = read_mesh(written(tmp_path, "a.ply", PLY.format("", "", "", "", "")))
    assert plain.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    rows = " 255 0 0", " 0 255 0", " 0 0 255", " 51 51 51"
    mesh = read_mesh(written(tmp_path, "b.ply", PLY.format(RGB, *rows)))
    assert isinstance(mesh.texture, VertexColors)
    expected = torch.cat([torch.eye(3), torch.full((1, 3), 0.2)])
    torch.testing.assert_close(mesh.texture.colors, expected)
    floats = RGB.replace("uchar", "float")
    rows = " 1 0 0", " 0 1 0", " 0 0 1", " .2 .2 .2"
    again = read_mesh(written(tmp_path, "c.ply", PLY.format(floats, *rows)))
    assert isinstance(again.texture, VertexColors)
    torch.testing.assert_close(again.texture.colors, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PLY.format("", "", "", "", "").replace("face 1", "face 2"),
            "fewer than 2 elements `face`",
        ),
        (PLY.format("", "", "", "", "").replace("vertex 4", "vertex 9"), "PLY|elements"),
        (PLY.format("", "", "", "", "").replace("4 0 1 2 3", "4 0 1 2 7"), "names the vert"),
        (PLY.format("", "", "", "", "").replace("4 0 1 2 3", "4 0 1 2 x"), "does not match"),
        (PLY.format("", "", "", "", "").replace("1 1 0\n", "1 nan 0\n"), "not finite|as PLY"),
        (PLY[: PLY.index("element face")].format("") + "end_header\n" + "0 0 0\n" * 4, "cloud"),
        ("ply", "is not a PLY"),
    ],
)
def test_ply_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_mesh(written(tmp_path, "a.ply", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "head", ["OFF\n4 1 0\n", "OFF 4 1 0\n", "OFF4 1 0\n", "OFF # a\n4 1\n"]
)
def test_heads_of_off(tmp_path: Path, head: str) -> None:
    text = head + CORNERS.replace("v ", "") + "4 0 1 2 3\n"
    mesh = read_mesh(written(tmp_path, "a.off", text))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "as OFF"),
        ("PLY\n", "is not an OFF"),
        ("OFF\n4 2 0\n" + CORNERS.replace("v ", "") + "4 0 1 2 3\n", "announces"),
        ("OFF\n4 1 0\n" + CORNERS.replace("v ", "") + "4 0 1 2\n", "fewer corners"),
        ("OFF\n4 1 0\n" + CORNERS.replace("v ", "") + "2 0 1\n", "no faces"),
        ("OFF\n4 1 0\n" + CORNERS.replace("v ", "") + "3 0 1 4\n", "names the vert"),
        ("OFF\n-4 1 0\n", "announces"),
    ],
)
def test_off_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_mesh(written(tmp_path, "a.off", text))
    assert "\n" not in str(caught.value)


def test_text_of_stl(tmp_path: Path) -> None:
    facet = (
        "facet normal 0 0 1\nouter loop\nvertex {}\nvertex {}\nvertex {}\nendloop\nendfacet\n"
    )
    text = "solid a\n" + facet.format("0 0 0", "1 0 0", "0 1 0")
    text += facet.format("1 0 0", "1 1 0", "0 1 0") + "endsolid a\n"
    mesh = read_mesh(written(tmp_path, "a.stl", text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2], [1, 3, 2]]
    with pytest.raises(InputError):
        read_mesh(written(tmp_path, "b.stl", text[:-30]))
    write_mesh(tmp_path / "c.stl", cube())
    whole = (tmp_path / "c.stl").read_bytes()
    (tmp_path / "c.stl").write_bytes(whole[:-10])
    with pytest.raises(InputError):
        read_mesh(tmp_path / "c.stl")


# glTF


def tree(**changes: Any) -> dict[str, Any]:
    """A red triangle in the xy plane of the file."""
    places = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    rows = np.array([0, 1, 2], "<u2").tobytes()
    uv = np.array([[0, 0], [1, 0], [0, 1]], "<f4").tobytes()
    content: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}
        ],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3},
            {"bufferView": 1, "componentType": 5123, "type": "SCALAR", "count": 3},
            {"bufferView": 2, "componentType": 5126, "type": "VEC2", "count": 3},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
            {"buffer": 0, "byteOffset": 44, "byteLength": 24},
        ],
        "buffers": [{"byteLength": 68, "uri": encoded(places + rows + b"\0\0" + uv)}],
    }
    return content | changes


def encoded(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()


def read_tree(folder: Path, content: dict[str, Any], **options: Any) -> Mesh:
    return read_mesh(written(folder, "a.gltf", json.dumps(content)), **options)


def test_a_triangle_as_text(tmp_path: Path) -> None:
    mesh = read_tree(tmp_path, tree())
    torch.testing.assert_close(mesh.vertices, torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 1]]))
    assert color_at(mesh, 0) == [1, 0, 0]


def test_names_of_files_are_percent_encoded(tmp_path: Path) -> None:
    whole = tree()
    uri = whole["buffers"][0]["uri"]
    (tmp_path / "a (1) ü.bin").write_bytes(base64.b64decode(uri.partition(",")[2]))
    named = tree(buffers=[{"byteLength": 68, "uri": "a%20%281%29%20%C3%BC.bin"}])
    assert torch.equal(read_tree(tmp_path, named).vertices, read_tree(tmp_path, whole).vertices)


def test_nodes_place_what_hangs_on_them(tmp_path: Path) -> None:
    turn = torch.tensor([0.3, -0.5, 0.9])
    half = turn.norm() / 2
    quaternion = [*(turn / turn.norm() * half.sin()).tolist(), float(half.cos())]
    shift, scale = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 0.5])
    columns = torch.diag(torch.tensor([-1.0, 1, 1, 1])) + 0.0
    columns[:3, 3] = torch.tensor([5.0, 0.0, 0.0])
    nodes = [
        {"children": [1], "matrix": columns.T.flatten().tolist()},
        {
            "mesh": 0,
            "translation": shift.tolist(),
            "rotation": quaternion,
            "scale": scale.tolist(),
        },
    ]
    mesh = read_tree(tmp_path, tree(nodes=nodes), up="z")
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    placed = (flat * scale) @ so3_exp(turn).T + shift
    expected = placed * torch.tensor([-1.0, 1, 1]) + torch.tensor([5.0, 0, 0])
    torch.testing.assert_close(
        mesh.vertices[mesh.faces[0]].sort(0).values, expected.sort(0).values
    )
    # Mirrored, the face is turned too, so that it is seen from the side that was seen before.
    a, b, c = mesh.vertices[mesh.faces[0]]
    normal = torch.linalg.cross(b - a, c - a)
    direction = so3_exp(turn) @ (torch.tensor([0.0, 0, 1]) / scale)
    assert float((normal * direction * torch.tensor([-1.0, 1, 1])).sum()) > 0


def test_colours_of_gltf_are_linear(tmp_path: Path) -> None:
    half = {"baseColorFactor": [0.5, 0.25, 1, 1]}
    mesh = read_tree(tmp_path, tree(materials=[{"pbrMetallicRoughness": half}]))
    expected = display_from_linear(torch.tensor([0.5, 0.25, 1.0]))
    assert color_at(mesh, 0) == pytest.approx(expected.tolist())
    assert expected[0] == pytest.approx(0.7354, abs=1e-4)


def with_image(folder: Path, **changes: Any) -> dict[str, Any]:
    image(folder, "a.png", [RED, GREEN], [BLUE, RED])
    content = tree(
        images=[{"uri": "a.png"}],
        textures=[{"source": 0}],
        materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    )
    content["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = 2
    return content | changes


def test_an_image_beside(tmp_path: Path) -> None:
    mesh = read_tree(tmp_path, with_image(tmp_path))
    assert isinstance(mesh.texture, UVTexture)
    # In the file v is down: its (0, 0) is the upper left corner, red.
    corner = torch.tensor([[1.0, 0.0, 0.0]])
    found = mesh.texture.sample(mesh.faces, torch.tensor([0]), corner)
    torch.testing.assert_close(found[0], RED)
    below = mesh.texture.sample(mesh.faces, torch.tensor([0]), corner.roll(2, 1))
    torch.testing.assert_close(below[0], BLUE)


def test_hard_edges_are_one_vertex(tmp_path: Path) -> None:
    """Box corners that a file holds three times each, for their normals."""
    box = cube()
    corners = box.vertices[box.faces].flatten(0, 1)
    soup = Mesh(corners, torch.arange(36).view(-1, 3))
    flat = torch.linalg.cross(corners[1::3] - corners[::3], corners[2::3] - corners[::3])
    soup = Mesh(soup.vertices, soup.faces, None, flat.repeat_interleave(3, dim=0))
    write_mesh(tmp_path / "a.glb", soup)
    mesh = read_mesh(tmp_path / "a.glb")
    assert len(mesh.vertices) == 8
    assert is_watertight(mesh.faces)
    assert mesh.normals is None


NODE = {"mesh": 0}
PRIMITIVE = {"attributes": {"POSITION": 0}, "indices": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asset": None, "meshes": []}, "glTF|no meshes"),
        ({"nodes": []}, "glTF"),
        ({"nodes": [{"mesh": -1}]}, "entry '-1'"),
        ({"nodes": [{"mesh": 9}]}, "glTF"),
        ({"nodes": [{"children": [0]}]}, "more than once"),
        ({"nodes": [{**NODE, "skin": 0}]}, "glTF"),
        ({"nodes": [{**NODE, "scale": [1, 2]}]}, "glTF"),
        ({"nodes": [{**NODE, "translation": [1, 2, float("nan")]}]}, "not finite"),
        ({"nodes": [{}]}, "no meshes"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "needs KHR_draco"),
        ({"meshes": [{"primitives": [{**PRIMITIVE, "mode": 1}]}]}, "no meshes"),
        ({"meshes": [{"primitives": [{**PRIMITIVE, "material": 7}]}]}, "glTF"),
        (
            {"meshes": [{"primitives": [{**PRIMITIVE, "indices": 0}]}]},
            "accessor 0 has 3 columns",
        ),
        ({"extensionsRequired": ["EXT_meshopt_compression"]}, "gltf-transform"),
        ({"extensionsRequired": ["XYZ_unknown"]}, "needs XYZ_unknown"),
        ({"buffers": [{"byteLength": 68}]}, "no binary part"),
        ({"buffers": [{"byteLength": 68, "uri": "../../a.bin"}]}, "outside of the folder"),
        ({"buffers": [{"byteLength": 68, "uri": "a.bin"}]}, "is missing"),
        ({"buffers": [{"byteLength": 68, "uri": "http://127.0.0.1/a.bin"}]}, "is missing"),
        ({"buffers": [{"byteLength": 68, "uri": encoded(bytes(9))}]}, "truncated"),
        ({"buffers": [{"byteLength": 68, "uri": "data:;base64,%%%"}]}, "damaged"),
        ({"images": []}, None),
    ],
)
def test_gltf_that_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    if message is None:
        read_tree(tmp_path, tree(**changes))
        return
    with pytest.raises(InputError, match=message) as caught:
        read_tree(tmp_path, tree(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("accessors", 0, "count"), 1 << 40, "GiB of memory.*use fewer"),
        (("accessors", 0, "count"), 4, "needs more bytes"),
        (("accessors", 0, "count"), -1, "invalid layout"),
        (("accessors", 0, "byteOffset"), -12, "invalid layout"),
        (("accessors", 0, "byteOffset"), 12, "needs more bytes"),
        (("accessors", 0, "sparse"), {}, "glTF"),
        (("accessors", 0, "bufferView"), 7, "glTF"),
        (("accessors", 0, "type"), "VEC2", "has 2 columns"),
        (("bufferViews", 0, "byteStride"), 1, "invalid layout"),
        (("bufferViews", 0, "byteLength"), 1 << 40, "truncated"),
    ],
)
def test_parts_of_gltf_that_are_refused(
    tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    content = changed(with_image(tmp_path), place, value)
    with pytest.raises(InputError, match=message) as caught:
        read_tree(tmp_path, content)
    assert "\n" not in str(caught.value)


def changed(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    below: Any = content
    for key in place[:-1]:
        below = below[key]
    below[place[-1]] = value
    return content


SURFACE = ("materials", 0, "pbrMetallicRoughness")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("textures", 0), {"extensions": {"KHR_texture_basisu": {}}}, "KHR_texture_basisu"),
        (("images", 0, "uri"), "b.png", "is missing"),
        (("images", 0, "uri"), "a.gltf", "cannot be read as an image"),
        ((*SURFACE, "baseColorTexture", "texCoord"), 1, "no valid texture coordinates"),
        ((*SURFACE, "baseColorFactor"), [-2, 0, 0, 1], "from -2"),
        (("accessors", 2, "count"), 2, "2 TEXCOORD_0 for 3"),
        (("accessors", 2, "count"), 1 << 40, "needs more bytes"),
    ],
)
def test_colors_of_gltf_that_cannot_be_read_are_noted(
    tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    content = changed(with_image(tmp_path), place, value)
    with collected() as notes:
        mesh = read_tree(tmp_path, content)
    assert mesh.texture is None
    assert len(mesh.faces) == 1
    assert re.search(message, notes[0]), notes
    with collected() as notes:
        read_tree(tmp_path, content, colored=False)
    assert notes == []


def test_binary_files_have_their_length(tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.glb", cube())
    whole = (tmp_path / "a.glb").read_bytes()
    for content, message in (
        (whole[:-1], "bytes: copy it again"),
        (whole[:4] + struct.pack("<I", 1) + whole[8:], "glTF 1"),
        (whole[:10], "as glTF"),
        (b"", "not valid JSON"),
    ):
        (tmp_path / "a.glb").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_mesh(tmp_path / "a.glb")

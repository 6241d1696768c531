"""glTF as programs write it: skins, strips, sparse data, transformed images, instances."""

import base64
import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.notes import collected
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture, VertexColors

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4")
ROWS = np.array([0, 1, 2, 0, 2, 3], "<u2")
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}


class Builder:
    """A glTF file with one mesh, whose parts the tests change."""

    def __init__(self) -> None:
        self.binary = b""
        self.tree: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "accessors": [],
            "bufferViews": [],
        }
        self.primitive: dict[str, Any] = {
            "attributes": {"POSITION": self.add(SQUARE), "TEXCOORD_0": self.add(UV)},
            "indices": self.add(ROWS),
        }
        self.tree["meshes"] = [{"primitives": [self.primitive]}]

    def view(self, array: np.ndarray) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        place = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes}
        self.binary += array.tobytes()
        self.tree["bufferViews"].append(place)
        return len(self.tree["bufferViews"]) - 1

    def add(self, array: np.ndarray, **more: Any) -> int:
        table = array.reshape(len(array), -1)
        self.tree["accessors"].append(
            {
                "bufferView": self.view(array),
                "componentType": KINDS[array.dtype.str[1:]],
                "type": TYPES[table.shape[1]],
                "count": len(table),
                **more,
            }
        )
        return len(self.tree["accessors"]) - 1

    def material(self, **fields: Any) -> None:
        """Red and green above, blue and white below, at image and texture 0."""
        image = Image.new("RGB", (2, 2))
        colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
        for k, color in enumerate(colors):
            image.putpixel((k % 2, k // 2), color)
        stream = BytesIO()
        image.save(stream, "PNG")
        content = base64.b64encode(stream.getvalue()).decode()
        self.tree["images"] = [{"uri": f"data:image/png;base64,{content}"}]
        self.tree["textures"] = [{"source": 0}]
        self.tree["materials"] = [fields]
        self.primitive["material"] = 0

    def read(self, folder: Path, **options: Any) -> Mesh:
        content = base64.b64encode(self.binary).decode()
        uri = f"data:application/octet-stream;base64,{content}"
        self.tree["buffers"] = [{"byteLength": len(self.binary), "uri": uri}]
        (folder / "a.gltf").write_text(json.dumps(self.tree))
        return read_mesh(folder / "a.gltf", "z", **options)


def color(mesh: Mesh, x: float, y: float) -> list[float]:
    """The color at a point of the square, to three digits."""
    assert mesh.texture is not None
    for k, face in enumerate(mesh.faces):
        a, b, c = mesh.vertices[face, :2]
        v, w = torch.linalg.solve(
            torch.stack([b - a, c - a], dim=1), torch.tensor([x, y]) - a
        ).tolist()
        if min(v, w, 1 - v - w) >= -1e-6:
            weights = torch.tensor([[1 - v - w, v, w]])
            found = mesh.texture.sample(mesh.faces, torch.tensor([k]), weights)
            return [round(value, 3) for value in found[0].tolist()]
    raise AssertionError("the point is on no face")


TEXTURED = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}


def transformed(**values: Any) -> dict[str, Any]:
    extensions = {"KHR_texture_transform": values}
    texture = {"index": 0, "extensions": extensions}
    return {"pbrMetallicRoughness": {"baseColorTexture": texture}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {(0.25, 0.75): [1, 0, 0], (0.75, 0.25): [1, 1, 1]}),
        ({"offset": [0.5, 0]}, {(0.25, 0.75): [0, 1, 0], (0.25, 0.25): [1, 1, 1]}),
        ({"offset": [0, 0.5]}, {(0.25, 0.75): [0, 0, 1]}),
        ({"scale": [0.5, 0.5]}, {(0.5, 0.5): [1, 0, 0]}),
        ({"scale": [0.5, 0.5], "offset": [0.5, 0.5]}, {(0.5, 0.5): [1, 1, 1]}),
        # A quarter turn counterclockwise: u' = v and v' = −u, from the upper left corner.
        ({"rotation": math.pi / 2}, {(0.25, 0.75): [0, 0, 1], (0.25, 0.25): [1, 1, 1]}),
    ],
)
def test_texture_transforms_are_applied(
    tmp_path: Path, values: dict[str, Any], expected: dict[tuple[float, float], list[float]]
) -> None:
    builder = Builder()
    builder.material(**transformed(**values))
    builder.tree["extensionsRequired"] = ["KHR_texture_transform"]
    mesh = builder.read(tmp_path)
    for (x, y), value in expected.items():
        assert color(mesh, x, y) == value


def test_a_transform_may_name_other_coordinates(tmp_path: Path) -> None:
    builder = Builder()
    builder.primitive["attributes"]["TEXCOORD_1"] = builder.add(UV * np.float32(0) + 0.75)
    builder.material(**transformed(texCoord=1))
    assert color(builder.read(tmp_path), 0.3, 0.3) == [1, 1, 1]


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [(10497, [1, 0, 0]), (33071, [0, 1, 0]), (33648, [0, 1, 0])],
)
def test_images_go_on_as_samplers_say(tmp_path: Path, wrap: int, expected: list[float]) -> None:
    builder = Builder()
    builder.primitive["attributes"]["TEXCOORD_0"] = builder.add(UV * np.float32(2))
    builder.material(**TEXTURED)
    builder.tree["samplers"] = [{"wrapS": wrap, "wrapT": 10497}]
    builder.tree["textures"][0]["sampler"] = 0
    # u is 1.25, and v 0.25 below the edge of a repeat.
    assert color(builder.read(tmp_path), 0.625, 0.875) == expected


def test_vertex_colors_multiply_an_image_in_linear_light(tmp_path: Path) -> None:
    builder = Builder()
    linear = np.array([[0.5, 0.5, 0.5, 1]] * 4, "<f4")
    linear[1:3] = 1
    builder.primitive["attributes"]["COLOR_0"] = builder.add(linear)
    builder.material(**TEXTURED)
    mesh = builder.read(tmp_path)
    assert isinstance(mesh.texture, UVTexture)
    assert len(mesh.vertices) == 4
    expected = display_from_linear(torch.tensor(0.75)).item()
    assert color(mesh, 0.5, 0.25)[2] == pytest.approx(expected, abs=2e-3)
    assert color(mesh, 1.0, 0.75) == [0, 1, 0]
    # It is written and read again as it is, but not as an OBJ.
    write_mesh(tmp_path / "b.glb", mesh)
    again = read_mesh(tmp_path / "b.glb")
    assert color(again, 0.4, 0.3) == pytest.approx(color(mesh, 0.4, 0.3), abs=2e-3)
    with pytest.raises(InputError, match="multiplied by colors"):
        write_mesh(tmp_path / "b.obj", mesh)
    # White ones change nothing.
    builder.primitive["attributes"]["COLOR_0"] = builder.add(np.ones((4, 3), "<f4"))
    white = builder.read(tmp_path)
    assert isinstance(white.texture, UVTexture)
    assert white.texture.colors is None


@pytest.mark.parametrize(("kind", "top"), [("u1", 255), ("<u2", 65535), ("<f4", 1)])
@pytest.mark.parametrize("flagged", [True, False])
def test_vertex_colors_of_every_type(
    tmp_path: Path, kind: str, top: int, flagged: bool
) -> None:
    builder = Builder()
    values = (np.array([[1, 0, 0.2, 1]] * 4) * top).astype(kind)
    builder.primitive["attributes"]["COLOR_0"] = builder.add(values, normalized=flagged)
    with collected() as notes:
        mesh = builder.read(tmp_path)
    assert isinstance(mesh.texture, VertexColors)
    expected = display_from_linear(torch.tensor([1, 0, 0.2]))
    torch.testing.assert_close(mesh.texture.colors[0], expected, atol=1e-3, rtol=0)
    assert bool(notes) == (not flagged and top > 1)


def test_specular_glossiness(tmp_path: Path) -> None:
    builder = Builder()
    glossy = {"diffuseTexture": {"index": 0}, "diffuseFactor": [0.5, 1, 1, 1]}
    builder.material(extensions={"KHR_materials_pbrSpecularGlossiness": glossy})
    mesh = builder.read(tmp_path)
    half = round(display_from_linear(torch.tensor(0.5)).item(), 3)
    assert color(mesh, 0.25, 0.75) == [half, 0, 0]
    assert linear_from_display(torch.tensor(half)).item() == pytest.approx(0.5, abs=1e-3)
    builder.tree["materials"] = [
        {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0, 1, 0, 1]}}}
    ]
    assert color(builder.read(tmp_path), 0.25, 0.5) == [0, 1, 0]


@pytest.mark.parametrize(
    ("mode", "rows", "expected"),
    [
        (5, [0, 1, 3, 2], [[0, 1, 3], [3, 1, 2]]),
        (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]]),
        (4, [0, 1, 2, 0, 2, 3, 1], [[0, 1, 2], [0, 2, 3]]),
        # Two strips, joined by corners that repeat.
        (5, [0, 1, 2, 2, 0, 2, 3], [[0, 1, 2], [0, 2, 3]]),
    ],
)
def test_strips_and_fans(
    tmp_path: Path, mode: int, rows: list[int], expected: list[list[int]]
) -> None:
    builder = Builder()
    builder.primitive |= {"mode": mode, "indices": builder.add(np.array(rows, "<u2"))}
    mesh = builder.read(tmp_path)
    turned = [face[k:] + face[:k] for face in mesh.faces.tolist() for k in range(3)]
    assert len(mesh.faces) == len(expected)
    for face in expected:
        assert face in turned


def test_lines_and_points_are_left_out_with_a_word(tmp_path: Path) -> None:
    builder = Builder()
    attributes = builder.primitive["attributes"]
    more = [{"mode": mode, "attributes": attributes} for mode in (0, 1, 3)]
    builder.tree["meshes"][0]["primitives"] += more
    with collected() as notes:
        assert len(builder.read(tmp_path).faces) == 2
    assert "3 parts of points or lines" in notes[0]


def test_sparse_accessors(tmp_path: Path) -> None:
    builder = Builder()
    sparse = {
        "count": 1,
        "indices": {"bufferView": builder.view(np.array([2], "<u2")), "componentType": 5123},
        "values": {"bufferView": builder.view(np.array([5, 6, 7], "<f4"))},
    }
    builder.tree["accessors"][0]["sparse"] = sparse
    assert builder.read(tmp_path).vertices[2].tolist() == [5, 6, 7]
    # Without a base, the others are 0.
    del builder.tree["accessors"][0]["bufferView"]
    found = builder.read(tmp_path).vertices.tolist()
    assert [5, 6, 7] in found
    assert [1, 1, 0] not in found
    sparse["indices"]["bufferView"] = builder.view(np.array([9], "<u2"))
    with pytest.raises(InputError, match="rows that it lacks"):
        builder.read(tmp_path)


def test_quantized_meshes(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    places = (np.pad(SQUARE, ((0, 0), (0, 1))) * 32767).astype("<i2")
    position = builder.add(places[:, :3].copy(), normalized=True)
    builder.primitive["attributes"]["POSITION"] = position
    mesh = builder.read(tmp_path)
    assert mesh.vertices.tolist() == SQUARE.tolist()


def test_skins_are_in_their_rest_pose(tmp_path: Path) -> None:
    """Two joints; the node's own transform does not count."""
    builder = Builder()
    joints = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], "u1")
    weights = np.array([[1, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]], "<f4")
    bound = np.tile(np.eye(4, dtype="<f4"), (2, 1, 1))
    bound[1, 3, 1] = -1  # Column-major: back by 1 along y.
    attributes = builder.primitive["attributes"]
    attributes |= {"JOINTS_0": builder.add(joints), "WEIGHTS_0": builder.add(weights)}
    builder.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": builder.add(bound)}]
    builder.tree["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},
        {"children": [2], "translation": [0, 0, 3]},
        {"translation": [0, 1, 0], "scale": [2, 2, 2]},
    ]
    builder.tree["scenes"] = [{"nodes": [0, 1]}]
    found = builder.read(tmp_path).vertices.tolist()
    # The second joint doubles about (0, 1): (1, 1) goes to (2, 1), and (0, 1) stays.
    assert found == [[0, 0, 3], [1, 0, 3], [2, 1, 3], [0, 1, 3]]


def test_morph_targets_are_at_their_default_weights(tmp_path: Path) -> None:
    builder = Builder()
    moved = builder.add(np.array([[0, 0, 2]] * 4, "<f4"))
    builder.primitive["targets"] = [{"POSITION": moved}]
    assert float(builder.read(tmp_path).vertices[:, 2].max()) == 0
    builder.tree["meshes"][0]["weights"] = [0.5]
    assert builder.read(tmp_path).vertices[:, 2].tolist() == [1, 1, 1, 1]
    builder.tree["nodes"][0]["weights"] = [1]
    assert builder.read(tmp_path).vertices[:, 2].tolist() == [2, 2, 2, 2]


def test_instances_and_repeated_meshes(tmp_path: Path) -> None:
    builder = Builder()
    places = builder.add(np.array([[0, 0, 0], [5, 0, 0], [0, 5, 0]], "<f4"))
    instancing = {"attributes": {"TRANSLATION": places}}
    builder.tree["nodes"] = [{"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": instancing}}]
    mesh = builder.read(tmp_path)
    assert len(mesh.faces) == 6
    assert mesh.vertices.amax(0).tolist() == [6, 6, 0]


def test_a_mesh_at_very_many_nodes_is_refused_before_it_is_built(tmp_path: Path) -> None:
    builder = Builder()
    builder.tree["nodes"] = [{"mesh": 0}] * 4000
    builder.tree["scenes"] = [{"nodes": list(range(4000))}]
    builder.primitive["indices"] = builder.add(np.zeros(3_000_000, "u1"))
    with pytest.raises(InputError, match=r"4000 nodes.*GiB of memory"):
        builder.read(tmp_path)


@pytest.mark.parametrize(
    "extension", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "ACME_other"]
)
def test_what_is_required_and_not_read_is_refused_by_name(
    tmp_path: Path, extension: str
) -> None:
    builder = Builder()
    builder.tree["extensionsUsed"] = [extension]
    assert len(builder.read(tmp_path).faces) == 2
    builder.tree["extensionsRequired"] = [extension]
    with pytest.raises(InputError, match=f"needs {extension}") as caught:
        builder.read(tmp_path)
    remedy = "without that extension" if extension == "ACME_other" else "gltf-transform copy"
    assert remedy in str(caught.value)


def test_compressed_parts_without_plain_ones_are_refused_by_name(tmp_path: Path) -> None:
    builder = Builder()
    builder.primitive["extensions"] = {"KHR_draco_mesh_compression": {}}
    assert len(builder.read(tmp_path).faces) == 2
    del builder.tree["accessors"][0]["bufferView"]
    with pytest.raises(InputError, match="KHR_draco_mesh_compression"):
        builder.read(tmp_path)


@pytest.mark.parametrize("name", ["base color (1) ü.bin", "a%20b.bin", "über/ä#1.bin"])
def test_uris_are_decoded(tmp_path: Path, name: str) -> None:
    builder = Builder()
    expected = builder.read(tmp_path).vertices
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(builder.binary)
    for uri in (quote(name), name):
        builder.tree["buffers"] = [{"byteLength": len(builder.binary), "uri": uri}]
        (tmp_path / "b.gltf").write_text(json.dumps(builder.tree))
        assert torch.equal(read_mesh(tmp_path / "b.gltf", "z").vertices, expected)


def test_data_uris_without_base64(tmp_path: Path) -> None:
    builder = Builder()
    expected = builder.read(tmp_path).vertices
    uri = "data:application/octet-stream," + quote(builder.binary)
    builder.tree["buffers"] = [{"byteLength": len(builder.binary), "uri": uri}]
    (tmp_path / "b.gltf").write_text(json.dumps(builder.tree))
    assert torch.equal(read_mesh(tmp_path / "b.gltf", "z").vertices, expected)


def test_bytes_behind_a_binary_file_are_left_out(tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.glb", Builder().read(tmp_path))
    content = (tmp_path / "a.glb").read_bytes()
    (tmp_path / "b.glb").write_bytes(content + bytes(5))
    with collected() as notes:
        assert len(read_mesh(tmp_path / "b.glb").faces) == 2
    assert "5 bytes behind its end" in notes[0]

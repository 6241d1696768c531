"""Meshes in motion as files: what is read back is what was written."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from unrender.errors import InputError
from unrender.shapes.files.gltf_file import parse_gltf
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_sequence import MeshSequence
from unrender.shapes.primitives import torus
from unrender.shapes.textures import UVTexture, VertexColors

TIMES = torch.tensor([2.0, 3.0, 4.5])


def moving(texture: str = "vertex") -> MeshSequence:
    mesh = torus(1.0, 0.4, 6, 9)
    generator = torch.Generator().manual_seed(0)
    if texture == "vertex":
        colors = torch.rand(len(mesh.vertices), 3, generator=generator)
        mesh = Mesh(mesh.vertices, mesh.faces, VertexColors(colors), unlit=True)
    if texture == "image":
        uv = torch.rand(len(mesh.faces) * 3, 2, generator=generator)
        rows = torch.arange(len(uv)).view(-1, 3)
        mesh = Mesh(mesh.vertices, mesh.faces, UVTexture(torch.rand(4, 4, 3), uv, rows))
    shift = torch.randn(3, *mesh.vertices.shape, generator=generator) / 4
    return MeshSequence(mesh, mesh.vertices + shift, TIMES)


def with_weights(path: Path, change: Any) -> Path:
    """A copy of a .glb whose JSON is changed."""
    content = path.read_bytes()
    (size,) = struct.unpack("<I", content[12:16])
    tree = json.loads(content[20 : 20 + size])
    change(tree)
    head = json.dumps(tree).encode()
    head += b" " * (-len(head) % 4)
    rest = content[20 + size :]
    whole = struct.pack("<4sII", b"glTF", 2, 20 + len(head) + len(rest))
    out = path.with_name("changed.glb")
    out.write_bytes(whole + struct.pack("<I4s", len(head), b"JSON") + head + rest)
    return out


def corners(mesh: Mesh) -> torch.Tensor:
    """By faces: an image's seams split vertices, and equal ones are merged when read."""
    return mesh.vertices[mesh.faces]


@pytest.mark.parametrize("texture", ["none", "vertex", "image"])
def test_each_morph_target_is_the_mesh_of_its_frame(tmp_path: Path, texture: str) -> None:
    sequence, path = moving(texture), tmp_path / "torus.glb"
    assert sequence.save(path, fps=2) == [path]
    rest = Mesh.load(path)
    torch.testing.assert_close(corners(rest), corners(sequence.mesh), atol=1e-6, rtol=0)
    assert rest.unlit == sequence.mesh.unlit
    for k, frame in enumerate(sequence):

        def alone(tree: Any, shown: int = k) -> None:
            tree["meshes"][0]["weights"] = [float(each == shown) for each in range(3)]

        found = Mesh.load(with_weights(path, alone))
        torch.testing.assert_close(corners(found), corners(frame), atol=1e-6, rtol=0)


def test_the_animation_shows_one_frame_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "torus.glb"
    moving().save(path, fps=4)
    file = parse_gltf(path, path.read_bytes(), colored=True)
    (animation,) = file.content["animations"]
    (channel,), (sampler,) = animation["channels"], animation["samplers"]
    assert channel == {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    assert sampler["interpolation"] == "LINEAR"
    seconds = file.numbers(sampler["input"], 1)[:, 0]
    assert seconds.tolist() == [0.0, 0.25, 0.5]
    weights = file.numbers(sampler["output"], 1).view(3, 3)
    assert torch.equal(weights, torch.eye(3).double())
    mesh = file.content["meshes"][0]
    assert mesh["weights"] == [0.0] * 3
    assert mesh["extras"]["targetNames"] == ["time 2", "time 3", "time 4.5"]
    # What the specification demands of the bounds of positions and of an animation's input.
    described = [file.item("accessors", sampler["input"])]
    described += [
        file.item("accessors", each["POSITION"]) for each in mesh["primitives"][0]["targets"]
    ]
    for entry, index in zip(described, [sampler["input"], *_targets(file)], strict=True):
        width = 1 if entry["type"] == "SCALAR" else 3
        low, high = file.numbers(index, width).aminmax(dim=0)
        assert entry["min"] == low.tolist()
        assert entry["max"] == high.tolist()
        assert entry["count"] == (3 if width == 1 else 54)


def _targets(file: Any) -> list[int]:
    return [each["POSITION"] for each in file.content["meshes"][0]["primitives"][0]["targets"]]


@pytest.mark.parametrize("ending", [".ply", ".obj", ".off"])
def test_other_formats_have_a_file_for_each_frame(tmp_path: Path, ending: str) -> None:
    sequence = moving("none" if ending == ".off" else "vertex")
    files = sequence.save(tmp_path / f"torus{ending}")
    assert [file.name for file in files] == [f"torus_000{k}{ending}" for k in range(3)]
    for file, frame in zip(files, sequence, strict=True):
        found = Mesh.load(file)
        torch.testing.assert_close(found.vertices, frame.vertices, atol=1e-5, rtol=0)
        assert torch.equal(found.faces, frame.faces)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    sequence = moving()
    for path, fps, words in (
        ("x.gltf", 24, "unknown mesh format"),
        ("x.mp4", 24, "unknown mesh format"),
        ("x.glb", 0, "fps 0"),
        ("x.glb", float("nan"), "fps nan"),
    ):
        with pytest.raises(InputError, match=words):
            sequence.save(tmp_path / path, fps)
    broken = sequence.vertices.clone()
    broken[2, 5] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        MeshSequence(sequence.mesh, broken, TIMES).save(tmp_path / "x.ply")
    assert not list(tmp_path.iterdir())

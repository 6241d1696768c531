"""Writing binary glTF 2.0 (.glb), with vertex colors or an image.

Khronos Group, "glTF 2.0 Specification". Vertex colors are linear in the file, in single
precision. A mesh that is unlit has a material that says so (KHR_materials_unlit). A motion is
an animation of the weights of morph targets, one for each frame.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from unrender.files import replacing
from unrender.imaging.color import linear_from_display
from unrender.imaging.files import png_bytes
from unrender.shapes.files.contents import UNLIT
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture, VertexColors

FLOAT, UNSIGNED_INT = 5126, 5125


@dataclass(frozen=True)
class Motion:
    """Frames of a mesh, between which its vertices move in straight lines."""

    displacements: Float[Tensor, "frames vertices 3"]
    """From the mesh at rest."""
    seconds: Float[Tensor, "frames"]
    """When each frame is shown; from 0 on, rising."""
    names: tuple[str, ...]


def write_glb(
    path: Path, mesh: Mesh, uv: UVTexture | None, motion: Motion | None = None
) -> None:
    """Write a mesh that is y-up already, completely or not at all."""
    vertices, faces, normals = mesh.vertices, mesh.faces, mesh.normals
    moves = None if motion is None else motion.displacements
    attributes: dict[str, Tensor] = {}
    if uv is not None:
        # glTF has one index per corner: a vertex with several uv coordinates is split.
        pairs, faces = ((faces << 32) + uv.faces_uv).unique(return_inverse=True)
        vertices = vertices[pairs >> 32]
        moves = None if moves is None else moves[:, pairs >> 32]
        normals = None if normals is None else normals[pairs >> 32]
        coordinates = uv.uv[pairs & 0xFFFFFFFF]
        down = coordinates * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
        attributes["TEXCOORD_0"] = down
        if uv.colors is not None:
            attributes["COLOR_0"] = linear_from_display(uv.colors[pairs & 0xFFFFFFFF])
    if isinstance(mesh.texture, VertexColors):
        attributes["COLOR_0"] = linear_from_display(mesh.texture.colors)
    if normals is not None:
        attributes["NORMAL"] = normals
    attributes["POSITION"] = vertices
    binary, views, accessors = bytearray(), list[Any](), list[Any]()

    def view(content: bytes) -> int:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(content)})
        binary.extend(content + bytes(-len(content) % 4))
        return len(views) - 1

    def accessor(values: Shaped[Tensor, "rows columns"], kind: int, **more: Any) -> int:
        array = values.numpy().astype("<f4" if kind == FLOAT else "<u4")
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3"}[array.shape[1]]
        entry = {"bufferView": view(array.tobytes()), "componentType": kind, "type": shape}
        accessors.append({**entry, "count": len(array), **more})
        return len(accessors) - 1

    def bounded(values: Float[Tensor, "rows columns"]) -> int:
        low, high = values.float().aminmax(dim=0)
        return accessor(values.float(), FLOAT, min=low.tolist(), max=high.tolist())

    primitive: dict[str, Any] = {"indices": accessor(faces.reshape(-1, 1), UNSIGNED_INT)}
    primitive["attributes"] = {
        name: bounded(values) if name == "POSITION" else accessor(values.float(), FLOAT)
        for name, values in attributes.items()
    }
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "unrender"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
    }
    if motion is not None and moves is not None:
        primitive["targets"] = [{"POSITION": bounded(each)} for each in moves]
        frames = len(moves)
        tree["meshes"][0] |= {
            "weights": [0.0] * frames,
            "extras": {"targetNames": list(motion.names)},
        }
        # In each frame its own target has the weight 1.
        sampler = {
            "input": bounded(motion.seconds[:, None]),
            "output": accessor(torch.eye(frames).reshape(-1, 1), FLOAT),
            "interpolation": "LINEAR",
        }
        channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
        tree["animations"] = [{"name": "film", "samplers": [sampler], "channels": [channel]}]
    surface: dict[str, Any] = {"metallicFactor": 0}
    material: dict[str, Any] = {"pbrMetallicRoughness": surface}
    if uv is not None:
        tree["images"] = [{"bufferView": view(png_bytes(uv.image)), "mimeType": "image/png"}]
        tree["textures"] = [{"source": 0}]
        surface["baseColorTexture"] = {"index": 0}
    if mesh.unlit:
        material["extensions"] = {UNLIT: {}}
        tree["extensionsUsed"] = [UNLIT]
    # Lit vertex colors need no material; with one, some readers would look for an image.
    if uv is not None or mesh.unlit:
        tree["materials"] = [material]
        primitive["material"] = 0
    tree |= {"accessors": accessors, "bufferViews": views}
    tree["buffers"] = [{"byteLength": len(binary)}]
    head = json.dumps(tree).encode()
    head += b" " * (-len(head) % 4)
    parts = (b"JSON", head), (b"BIN\0", bytes(binary))
    chunks = b"".join(struct.pack("<I4s", len(part), kind) + part for kind, part in parts)
    with replacing(path) as temporary:
        temporary.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)

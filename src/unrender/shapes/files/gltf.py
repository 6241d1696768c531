"""Reading glTF 2.0, binary (.glb) or JSON with separate files (.gltf).

All triangles of the default scene are read, transformed by their nodes, with base colors from
an image, a factor or vertex colors. Factors and vertex colors are linear in the file and images
display-referred; here all are display-referred. Features that would change the shape or the
colors but are not supported are rejected: skins, strips, sparse or compressed data, transformed
textures. Animations, morph targets and transparency are ignored: the mesh is in its rest pose,
and opaque. It is unlit if all of its materials are (KHR_materials_unlit).

trimesh finds the same triangles in files without such features. It is not used, because it
reads the others without a word: skins, sparse data, required extensions, transformed textures,
and indices beyond the vertices.

Khronos Group, "glTF 2.0 Specification".
"""

import base64
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import Json, json_object, read_bytes
from unrender.geometry.poses import so3_from_quaternion
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.imaging.files import decode_image
from unrender.shapes.files.contents import (
    MISSING,
    PARSE_ERRORS,
    UNLIT,
    Material,
    MeshContents,
    sibling_file,
)

COMPONENT_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
NUM_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
TRIANGLES = 4
REPEAT = 10497
IGNORED_EXTENSIONS = ("KHR_materials_", "KHR_mesh_quantization", "KHR_lights_punctual")
"""Extensions that a file may require that change neither triangles nor base colors."""
MAX_FACES = 100_000_000
"""Larger scenes are rejected before they are built, such as one mesh at many nodes."""


@dataclass
class _File:
    """The parsed JSON of a glTF file, with its binary data."""

    path: Path
    content: Json
    binary: bytes | None
    colored: bool
    buffers: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def error(self, why: str) -> InputError:
        return InputError(f"{self.path}: {why}")

    def item(self, kind: str, index: Any) -> Json:
        """An entry of one of the file's lists; negative indices are rejected."""
        if not isinstance(index, int) or index < 0:
            raise self.error(f"names entry {str(index)[:20]} of `{kind}`: correct it")
        entry = self.content[kind][index]
        if not isinstance(entry, dict):
            raise self.error(f"entry {index} of `{kind}` is not an object: correct it")
        return cast(Json, entry)

    def bytes_at(self, uri: Any) -> bytes:
        """The bytes of a data URI or of a file beside this one."""
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition("base64,")[2], validate=True)
        return read_bytes(sibling_file(self.path, unquote(uri)))

    def view(self, index: Any) -> tuple[bytes, Any]:
        """The bytes of a buffer view, and its stride in bytes; 0 if it has none."""
        view = self.item("bufferViews", index)
        number = view["buffer"]
        if number not in self.buffers:
            uri = self.item("buffers", number).get("uri")
            held = self.binary if uri is None else self.bytes_at(uri)
            if held is None:
                raise self.error("has no binary part: copy it again")
            self.buffers[number] = held
        start, size = view.get("byteOffset", 0), view["byteLength"]
        if not 0 <= start <= start + size <= len(self.buffers[number]):
            raise self.error(
                f"buffer {number} has {len(self.buffers[number])} bytes, fewer than a view "
                "needs: the file is truncated: copy it again"
            )
        return self.buffers[number][start : start + size], view.get("byteStride", 0)

    def numbers(self, index: Any, *widths: int) -> Float[Tensor, "rows columns"]:
        """An accessor's values; its number of columns must be one of `widths`."""
        accessor = self.item("accessors", index)
        if "sparse" in accessor or "bufferView" not in accessor:
            raise self.error("has sparse or compressed data: export it without compression")
        kind = np.dtype(COMPONENT_TYPES[accessor["componentType"]])
        width, count = NUM_COMPONENTS[accessor["type"]], accessor["count"]
        if width not in widths:
            raise self.error(f"accessor {index} has {width} columns: export it again")
        content, stride = self.view(accessor["bufferView"])
        stride, start = stride or kind.itemsize * width, accessor.get("byteOffset", 0)
        held = len(content) - start - kind.itemsize * width
        if count < 0 or start < 0 or stride < kind.itemsize * width:
            raise self.error(f"accessor {index} has an invalid layout: export it again")
        if count and (count - 1) * stride > held:
            raise self.error(
                f"accessor {index} needs more bytes than its buffer has: copy it again"
            )
        rows = np.ndarray((count, width), kind, content, start, (stride, kind.itemsize))
        # numpy warns of signaling NaNs; NaNs are rejected later, where they matter.
        with np.errstate(invalid="ignore"):
            numbers = torch.from_numpy(rows.astype(np.float64))
        if kind.kind != "f" and accessor.get("normalized", False):
            return (numbers / float(np.iinfo(kind).max)).clamp_min(-1)
        return numbers


def read_gltf(path: Path, colored: bool) -> MeshContents:
    """The scene's triangles, y up as in the file.

    Raises InputError for files that cannot be read or are not supported.
    """
    content = read_bytes(path)
    try:
        file = _parse(path, content, colored)
        needed = [
            name
            for name in file.content.get("extensionsRequired", [])
            if not name.startswith(IGNORED_EXTENSIONS)
        ]
        if needed:
            raise file.error(f"needs {str(needed[0])[:60]}: export it without that extension")
        return _join(file)
    except InputError:
        raise
    except (*PARSE_ERRORS, struct.error) as error:
        raise InputError(
            f"{path}: cannot be read as glTF ({one_line(error)}); it may be damaged: make or "
            "copy it again"
        ) from error


def _parse(path: Path, content: bytes, colored: bool) -> _File:
    binary = None
    if content[:4] == b"glTF":
        _, version, length = struct.unpack_from("<4sII", content)
        if version != 2:
            raise InputError(f"{path}: is glTF {version}: export it as glTF 2.0")
        if length != len(content):
            raise InputError(f"{path}: has {len(content)} of {length} bytes: copy it again")
        chunks: dict[int, bytes] = {}
        offset = 12
        while offset + 8 <= length:
            size, kind = struct.unpack_from("<II", content, offset)
            chunks.setdefault(kind, content[offset + 8 : offset + 8 + size])
            offset += 8 + size
        content, binary = chunks[0x4E4F534A], chunks.get(0x004E4942)
    tree = json_object(str(path), content, "it may be damaged: make or copy it again")
    if "asset" not in tree:
        raise InputError(f"{path}: is not a glTF file: it has no `asset`")
    return _File(path, tree, binary, colored)


def _mesh_nodes(file: _File) -> Iterator[tuple[Json, Float[Tensor, "4 4"]]]:
    """The meshes of the default scene and their transforms to the scene."""
    nodes = file.content.get("nodes", [])
    if "scenes" in file.content:
        roots = file.item("scenes", file.content.get("scene", 0)).get("nodes", [])
    else:
        below = {child for node in nodes for child in node.get("children", [])}
        roots = [k for k in range(len(nodes)) if k not in below]
    waiting = [(index, torch.eye(4, dtype=torch.float64)) for index in roots]
    seen: set[int] = set()
    while waiting:
        index, above = waiting.pop()
        node = file.item("nodes", index)
        if index in seen:
            raise file.error(f"node {index} is in the scene more than once: export it again")
        seen.add(index)
        here = above @ _matrix(node)
        waiting += [(child, here) for child in node.get("children", [])]
        if "mesh" in node:
            if "skin" in node:
                raise file.error("has a skin: apply its armature and export it again")
            yield file.item("meshes", node["mesh"]), here


def _matrix(node: Json) -> Float[Tensor, "4 4"]:
    """A node's transform relative to its parent."""
    if "matrix" in node:
        # Column-major.
        return torch.tensor(node["matrix"], dtype=torch.float64).view(4, 4).T
    matrix = torch.eye(4, dtype=torch.float64)
    x, y, z, w = torch.tensor(node.get("rotation", [0, 0, 0, 1]), dtype=torch.float64)
    turn = so3_from_quaternion(torch.stack([w, x, y, z])[None])[0]
    scale = torch.tensor(node.get("scale", [1, 1, 1]), dtype=torch.float64)
    matrix[:3, :3] = turn * scale
    matrix[:3, 3] = torch.tensor(node.get("translation", [0, 0, 0]), dtype=torch.float64)
    return matrix


def _join(file: _File) -> MeshContents:
    """All parts of the scene as one mesh."""
    parts: list[MeshContents] = []
    materials: dict[int, Material] = {}
    chosen: list[int] = []
    total = 0
    for mesh, matrix in _mesh_nodes(file):
        for primitive in mesh["primitives"]:
            index = primitive.get("material", MISSING)
            if index not in materials:
                materials[index] = _material(file, index)
            parts.append(_primitive(file, primitive, matrix, materials[index]))
            chosen.append(list(materials).index(index))
            total += len(parts[-1].faces)
            if total > MAX_FACES:
                raise file.error(f"has more than {MAX_FACES:,} faces: use fewer")
    if not parts:
        raise file.error("has no meshes in its scene: export some")
    colors = _colors_of_all(file, parts, [list(materials.values())[k] for k in chosen])
    normals = [part.normals for part in parts if part.normals is not None]
    starts = torch.tensor([0, *(len(part.vertices) for part in parts)]).cumsum(0).tolist()
    moved = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    # Each vertex has its own uv coordinates; parts without any have rows of MISSING.
    coordinates = [torch.zeros(len(p.vertices), 2) if p.uv is None else p.uv for p in parts]
    rows = [
        torch.full_like(faces, MISSING) if part.uv is None else faces
        for part, faces in zip(parts, moved, strict=True)
    ]
    owner = torch.tensor(chosen).repeat_interleave(torch.tensor([len(f) for f in moved]))
    plain = not file.colored or list(materials) == [MISSING]
    return MeshContents(
        torch.cat([part.vertices for part in parts]),
        torch.cat(moved),
        torch.cat(normals) if len(normals) == len(parts) else None,
        colors,
        materials=() if plain else tuple(materials.values()),
        face_material=None if plain else owner,
        uv=torch.cat([part.double() for part in coordinates]),
        faces_uv=torch.cat(rows),
        split_vertices=True,
    )


def _colors_of_all(
    file: _File, parts: list[MeshContents], materials: list[Material]
) -> Float[Tensor, "vertices 3"] | None:
    """Vertex colors of all parts, or None if no part has any.

    Parts without vertex colors take their material's color.
    """
    if all(part.vertex_colors is None for part in parts):
        return None
    if any(material.image is not None for material in materials):
        raise file.error("has images and vertex colors: keep only one of them")
    return torch.cat(
        [
            material.color.double().expand_as(part.vertices)
            if part.vertex_colors is None
            else part.vertex_colors
            for part, material in zip(parts, materials, strict=True)
        ]
    )


def _primitive(
    file: _File, primitive: Json, matrix: Float[Tensor, "4 4"], material: Material
) -> MeshContents:
    attributes = cast(dict[str, int], primitive["attributes"])
    if primitive.get("mode", TRIANGLES) != TRIANGLES:
        raise file.error("has points, lines or strips: export plain triangles alone")
    vertices = file.numbers(attributes["POSITION"], 3)
    if "indices" in primitive:
        faces = file.numbers(primitive["indices"], 1).long().view(-1, 3)
    else:
        faces = torch.arange(len(vertices)).view(-1, 3)
    # Checked for each part: in the joined mesh, the row could be another part's vertex.
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise file.error(f"a face names a vertex beyond {len(vertices)}: export it again")
    turn = matrix[:3, :3]
    if float(torch.linalg.det(turn)) < 0:
        # A mirrored mesh would be inside out.
        faces = faces.flip(1)
    normals = uv = colors = None
    if "NORMAL" in attributes:
        # Cofactors exist even where the inverse does not.
        cofactors = torch.stack(
            [torch.linalg.cross(turn[(k + 1) % 3], turn[(k + 2) % 3]) for k in range(3)]
        )
        turned = file.numbers(attributes["NORMAL"], 3) @ cofactors.T
        sign = -1.0 if float(torch.linalg.det(turn)) < 0 else 1.0
        normals = sign * torch.nn.functional.normalize(turned, dim=1)
    number = _texture(file, primitive).get("texCoord", 0)
    if f"TEXCOORD_{number}" in attributes:
        # In the file, v points down from the upper edge.
        uv = file.numbers(attributes[f"TEXCOORD_{number}"], 2)
        uv = uv * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    if "COLOR_0" in attributes and file.colored:
        colors = _vertex_colors(file, attributes["COLOR_0"], material)
    for name, values in (("NORMAL", normals), ("TEXCOORD", uv), ("COLOR", colors)):
        if values is not None and len(values) != len(vertices):
            raise file.error(f"has {len(values)} {name} for {len(vertices)} vertices")
    return MeshContents(vertices @ turn.T + matrix[:3, 3], faces, normals, colors, uv=uv)


def _texture(file: _File, primitive: Json) -> Json:
    if "material" not in primitive or not file.colored:
        return {}
    material = file.item("materials", primitive["material"])
    return material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})


def _vertex_colors(
    file: _File, accessor: int, material: Material
) -> Float[Tensor, "vertices 3"] | None:
    """Vertex colors × the material's factor; None if they are white on an image."""
    linear = file.numbers(accessor, 3, 4)[:, :3]
    if not bool(((linear >= 0) & (linear <= 1)).all()):
        raise file.error("has vertex colors outside of [0, 1]: correct them")
    if material.image is not None and bool((linear == 1).all()):
        return None
    return display_from_linear(linear * linear_from_display(material.color.double()))


def _material(file: _File, index: int) -> Material:
    """A material's base color and image; white by default."""
    if index == MISSING or not file.colored:
        return Material(torch.ones(3))
    described = file.item("materials", index)
    unlit = UNLIT in described.get("extensions", {})
    if "KHR_materials_pbrSpecularGlossiness" in described.get("extensions", {}):
        raise file.error("has specular-glossiness materials: export metallic-roughness")
    surface = described.get("pbrMetallicRoughness", {})
    factor = torch.tensor(surface.get("baseColorFactor", [1, 1, 1, 1]), dtype=torch.float64)[:3]
    if factor.shape != (3,) or not bool(((factor >= 0) & (factor <= 1)).all()):
        raise file.error(f"has a base color of {factor.tolist()}: give numbers in [0, 1]")
    color = display_from_linear(factor).float()
    if "baseColorTexture" not in surface:
        return Material(color, unlit=unlit)
    named = surface["baseColorTexture"]
    if "KHR_texture_transform" in named.get("extensions", {}):
        raise file.error("transforms a texture: apply the transform and export it again")
    texture = file.item("textures", named["index"])
    if "source" not in texture:
        raise file.error("has an image that needs an extension: export it as PNG or JPEG")
    sampler = file.item("samplers", texture["sampler"]) if "sampler" in texture else {}
    repeats = {sampler.get(key, REPEAT) for key in ("wrapS", "wrapT")} == {REPEAT}
    entry = file.item("images", texture["source"])
    if "bufferView" in entry:
        content, _ = file.view(entry["bufferView"])
    else:
        content = file.bytes_at(entry["uri"])
    label = f"{file.path}: image {texture['source']}"
    image = decode_image(io.BytesIO(content), label)[..., :3]
    if bool((factor < 1).any()):
        image = display_from_linear(linear_from_display(image) * factor.float())
    return Material(color, image, repeats, unlit)

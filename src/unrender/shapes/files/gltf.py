"""Reading glTF 2.0, binary (.glb) or JSON with separate files (.gltf).

All triangles, strips and fans of the default scene are read, transformed by their nodes, in the
rest pose of skins and with the default weights of morph targets, with base colors from an
image, a factor or vertex colors. Factors and vertex colors are linear in the file and images
display-referred; here all are display-referred. Vertex colors multiply an image. Points and
lines are left out with a note; animations and transparency are ignored: the mesh is opaque. It
is unlit if all of its materials are (KHR_materials_unlit).

trimesh is not used, because it reads without a word what it does not support: skins, sparse
data, required extensions, transformed textures, and indices beyond the vertices.

Khronos Group, "glTF 2.0 Specification".
"""

import struct
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import Json, read_bytes
from unrender.files.memory import check_memory
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.notes import note
from unrender.shapes.files.contents import (
    MISSING,
    PARSE_ERRORS,
    Material,
    MeshContents,
    unit_colors,
)
from unrender.shapes.files.gltf_file import GltfFile, parse_gltf
from unrender.shapes.files.gltf_materials import coordinate_set, read_material
from unrender.shapes.files.gltf_nodes import Placed, morphed, placed_meshes, skinned, turned

TRIANGLES, STRIP, FAN = 4, 5, 6
FACE_BYTES = 400
"""Memory that reading takes for each face and vertex, at most."""


def read_gltf(path: Path, colored: bool) -> MeshContents:
    """The scene's triangles, y up as in the file.

    Raises InputError for files that cannot be read or are not supported.
    """
    content = read_bytes(path)
    try:
        return _join(parse_gltf(path, content, colored))
    except InputError:
        raise
    except (*PARSE_ERRORS, struct.error) as error:
        raise InputError(
            f"{path}: cannot be read as glTF ({one_line(error)[:120]}); it may be damaged: "
            "make or copy it again"
        ) from error


def _join(file: GltfFile) -> MeshContents:
    """All parts of the scene as one mesh."""
    placed = list(placed_meshes(file))
    _check_size(file, placed)
    parts: list[MeshContents] = []
    chosen: list[int] = []
    materials: dict[int, Material | None] = {MISSING: None}
    left_out = 0
    for one in placed:
        mesh = file.item("meshes", one.index)
        for primitive in mesh["primitives"]:
            if primitive.get("mode", TRIANGLES) not in (TRIANGLES, STRIP, FAN):
                left_out += 1
                continue
            index = primitive.get("material", MISSING)
            if index != MISSING:
                file.item("materials", index)
            if index not in materials:
                materials[index] = read_material(file, index) if file.colored else None
            parts.append(_primitive(file, mesh, primitive, one))
            chosen.append(list(materials).index(index))
    if left_out:
        note(f"{file.path}: {left_out} parts of points or lines are left out")
    if not parts:
        raise file.error("has no meshes in its scene: export some")
    of_part = [list(materials.values())[k] for k in chosen]
    known = [k for k, material in enumerate(materials.values()) if material is not None]
    row = torch.full((len(materials),), MISSING)
    row[known] = torch.arange(len(known))
    normals = [part.normals for part in parts if part.normals is not None]
    starts = torch.tensor([0, *(len(part.vertices) for part in parts)]).cumsum(0).tolist()
    moved = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    # Each vertex has its own uv coordinates; parts without any have rows of MISSING.
    coordinates = [torch.zeros(len(p.vertices), 2) if p.uv is None else p.uv for p in parts]
    rows = [
        torch.full_like(faces, MISSING) if part.uv is None else faces
        for part, faces in zip(parts, moved, strict=True)
    ]
    sizes = torch.tensor([len(faces) for faces in moved])
    owner = row[torch.tensor(chosen)].repeat_interleave(sizes)
    return MeshContents(
        torch.cat([part.vertices for part in parts]),
        torch.cat(moved),
        torch.cat(normals) if len(normals) == len(parts) else None,
        _colors_of_all(parts, of_part),
        materials=tuple(m for m in materials.values() if m is not None),
        face_material=owner if known else None,
        uv=torch.cat([part.double() for part in coordinates]),
        faces_uv=torch.cat(rows),
        split_vertices=True,
    )


def _check_size(file: GltfFile, placed: list[Placed]) -> None:
    """Raise InputError for a scene that is too large once each mesh is at all of its nodes."""
    sizes: dict[int, int] = {}
    total = 0
    for one in placed:
        if one.index not in sizes:
            sizes[one.index] = 0
            for primitive in file.item("meshes", one.index)["primitives"]:
                count = file.item("accessors", primitive["attributes"]["POSITION"])["count"]
                corners = primitive.get("indices")
                faces = count if corners is None else file.item("accessors", corners)["count"]
                divisor = 3 if primitive.get("mode", TRIANGLES) == TRIANGLES else 1
                sizes[one.index] += int(count) + int(faces) // divisor
        total += sizes[one.index]
    check_memory(
        f"{file.path}: with {len(placed)} nodes and {total:,} vertices and faces",
        total * FACE_BYTES,
        "use fewer",
    )


def _colors_of_all(
    parts: list[MeshContents], materials: list[Material | None]
) -> Float[Tensor, "vertices 3"] | None:
    """Vertex colors of all parts, or None if no part has any that are not white on an image.

    Without images, they are multiplied by the material's color; parts without vertex colors
    take that color. With images, they are what the images are multiplied by.
    """
    images = any(material is not None and material.image is not None for material in materials)
    factors = [
        torch.ones(3).double() if images or m is None else m.color.double() for m in materials
    ]
    if all(
        part.vertex_colors is None or (images and bool((part.vertex_colors == 1).all()))
        for part in parts
    ):
        return None
    return torch.cat(
        [
            factor.expand_as(part.vertices)
            if part.vertex_colors is None
            else display_from_linear(part.vertex_colors * linear_from_display(factor))
            for part, factor in zip(parts, factors, strict=True)
        ]
    )


def _primitive(file: GltfFile, mesh: Json, primitive: Json, placed: Placed) -> MeshContents:
    """The faces of a part of a mesh; its vertex colors are linear still."""
    named: Json = primitive["attributes"]
    attributes = dict(zip(named, file.rows([*named.values()]), strict=True))
    draco = "KHR_draco_mesh_compression"
    if draco in primitive.get("extensions", {}) and not _has_data(file, attributes):
        raise file.compressed(draco)
    targets = primitive.get("targets", [])
    weights = placed.weights or tuple(float(w) for w in mesh.get("weights", []))
    vertices = morphed(
        file, "POSITION", file.numbers(attributes["POSITION"], 3), targets, weights
    )
    count = len(vertices)
    if "indices" in primitive:
        corners = file.numbers(primitive["indices"], 1).long().view(-1)
    else:
        corners = torch.arange(count)
    # Checked for each part: in the joined mesh, the row could be another part's vertex.
    if len(corners) and not 0 <= int(corners.min()) <= int(corners.max()) < count:
        raise file.error(f"a face names a vertex beyond {count}: export it again")
    faces = _faces(corners, primitive.get("mode", TRIANGLES))
    matrices = skinned(file, attributes, placed, count)
    if len(matrices) and float(torch.linalg.det(matrices[0, :3, :3])) < 0:
        # A mirrored mesh would be inside out.
        faces = faces.flip(1)
    moved = (matrices[:, :3, :3] * vertices[:, None]).sum(-1) + matrices[:, :3, 3]
    normals = uv = colors = None
    if "NORMAL" in attributes:
        given = morphed(file, "NORMAL", file.numbers(attributes["NORMAL"], 3), targets, weights)
        _check_length(file, "NORMAL", given, count)
        normals = turned(matrices, given)
    if file.colored:
        uv, colors = _appearance(file, primitive, attributes, count)
    return MeshContents(moved, faces, normals, colors, uv=uv)


def _has_data(file: GltfFile, attributes: dict[str, int]) -> bool:
    """Whether a compressed part is in the file uncompressed too."""
    return "bufferView" in file.item("accessors", attributes["POSITION"])


def _faces(corners: Int[Tensor, "corners"], mode: int) -> Int[Tensor, "faces 3"]:
    """Triangles of a list, a strip or a fan, without corners that make no whole triangle."""
    if mode == TRIANGLES:
        return corners[: len(corners) // 3 * 3].view(-1, 3)
    if len(corners) < 3:
        return corners.new_zeros(0, 3)
    if mode == FAN:
        first = corners[:1].expand(len(corners) - 2)
        return torch.stack([first, corners[1:-1], corners[2:]], dim=1)
    triples = corners.unfold(0, 3, 1)
    odd = torch.arange(len(triples)) % 2 == 1
    faces = torch.where(odd[:, None], triples[:, [1, 0, 2]], triples)
    # Corners that repeat join strips.
    a, b, c = faces.unbind(1)
    return faces[(a != b) & (b != c) & (c != a)]


def _appearance(
    file: GltfFile, primitive: Json, attributes: dict[str, int], count: int
) -> tuple[Float[Tensor, "vertices 2"] | None, Float[Tensor, "vertices 3"] | None]:
    """Texture coordinates, v up, and linear vertex colors; None, with a note, if damaged."""
    uv = colors = None
    try:
        described = (
            file.item("materials", primitive["material"]) if "material" in primitive else {}
        )
        name = f"TEXCOORD_{coordinate_set(described)}"
        if name in attributes:
            # In the file, v points down from the upper edge.
            given: Any = file.numbers(attributes[name], 2)
            _check_length(file, name, given, count)
            uv = given * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
        if "COLOR_0" in attributes:
            given = file.numbers(attributes["COLOR_0"], 3, 4)[:, :3]
            _check_length(file, "COLOR_0", given, count)
            colors = unit_colors(file.path, "vertex colors", given)
    except (InputError, *PARSE_ERRORS) as error:
        why = str(error) if isinstance(error, InputError) else f"{file.path}: {one_line(error)}"
        note(f"{why[:200]}; this part is read without color")
    return uv, colors


def _check_length(file: GltfFile, name: str, values: Tensor, count: int) -> None:
    if len(values) != count:
        raise file.error(f"has {len(values)} {name} for {count} vertices: export it again")

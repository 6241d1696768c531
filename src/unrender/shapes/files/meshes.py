"""Mesh files: OBJ, PLY, glTF (.glb, .gltf), OFF and STL.

By default the up axis is y in OBJ and glTF, and z in PLY, STL and OFF, as in Blender. A y-up
file is rotated to z-up when it is read, and back when it is written.

A file's vertices and faces keep their order, and all of them are kept, even invalid ones;
`unrender.shapes.mesh_checks` reports problems. Polygons become fans of triangles. Vertices that
glTF and STL have to split, at texture seams or between any two triangles, are merged where
position and color are equal, so that a closed surface stays closed.

Vertex colors become `VertexColors`; face colors a `FaceAtlas` of side 1; an image a
`UVTexture`; several images, possibly with plain colors, a single image that contains all of
them. Everything is opaque, and only the (base) color of materials is read. STL and OFF files
have no colors.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.files.arrays import check_numbers
from unrender.notes import note
from unrender.shapes.files.contents import MAX_COORDINATE, MISSING, MeshContents
from unrender.shapes.files.glb import Motion, write_glb
from unrender.shapes.files.gltf import read_gltf
from unrender.shapes.files.materials import build_texture
from unrender.shapes.files.obj import read_obj, write_obj
from unrender.shapes.files.off import read_off, write_off
from unrender.shapes.files.ply_mesh import read_ply_mesh, write_ply_mesh
from unrender.shapes.files.stl import read_stl, write_stl
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors

Up = Literal["y", "z"]

MESH_READERS: dict[str, Callable[[Path, bool], MeshContents]] = {
    ".obj": read_obj,
    ".ply": read_ply_mesh,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".off": read_off,
    ".stl": read_stl,
}
WRITABLE_MESH_SUFFIXES = (".obj", ".ply", ".glb", ".off", ".stl")
NORMAL_TOLERANCE = 1e-4
"""Normals that differ by less than this are considered equal."""
SINGLE_PRECISION = 2.0**-24
"""Largest relative rounding error of single precision."""
MAX_ROUNDING = 1e-4
"""Rounding of vertices that is noted, relative to the mesh's size."""
HASH_MULTIPLIER = 0x1E3779B97F4A7C15
"""A large odd number that mixes the bits of row keys."""


def read_mesh(path: str | Path, up: Up | None = None, colored: bool = True) -> Mesh:
    """Read a mesh, in single precision.

    `up` is the file's up axis, by default that of its format; "y" is rotated to z. If `colored`
    is False, only the geometry is read, and materials and images may be missing. Raises
    InputError, with a one-line message, for a file that cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_READERS:
        raise InputError(
            f"{path}: is not a mesh file: convert it to one of {', '.join(MESH_READERS)}"
        )
    found = MESH_READERS[suffix](path, colored)
    _check(path, found)
    vertices, normals = found.vertices.float(), found.normals
    # Checked after conversion, which turns values too large for single precision into Inf.
    valid = (vertices.abs() <= MAX_COORDINATE).all(1)
    if not bool(valid.all()):
        row = int((~valid).nonzero()[0])
        why = "is too far" if bool(vertices[row].isfinite().all()) else "is not finite"
        raise InputError(f"{path}: vertex {row} {why}: correct it")
    _note_rounding(path, found.vertices)
    faces, colors = found.faces, found.vertex_colors
    if colors is not None and any(material.image is not None for material in found.materials):
        # They are at the corners of the texture.
        colors = None
    if found.split_vertices:
        keys = vertices if colors is None else torch.cat([vertices, colors.float()], dim=1)
        first, number = _unique_rows(keys)
        vertices, faces = vertices[first], number[faces]
        colors = None if colors is None else colors[first]
        # At a hard edge the copies of a vertex have different normals: then none are kept.
        if normals is not None:
            agree = (normals - normals[first][number]).abs().amax() < NORMAL_TOLERANCE
            normals = normals[first] if bool(agree) else None
    texture = build_texture(path, found, len(vertices), colors)
    if normals is not None:
        normals = _unit(normals)
    # Without materials all() would hold too.
    used = set(() if found.face_material is None else found.face_material.unique().tolist())
    unlit = bool(used) and all(k != MISSING and found.materials[k].unlit for k in used)
    mesh = Mesh(vertices, faces, texture, normals, unlit)
    parts = {} if texture is None else vars(texture)
    named = {f"texture {name}": part for name, part in parts.items()}
    check_numbers(str(path), "correct them", vertices=vertices, normals=normals, **named)
    return _rotated(mesh, _to_z) if _up(suffix, up) == "y" else mesh


def write_mesh(
    path: str | Path, mesh: Mesh, up: Up | None = None, motion: Motion | None = None
) -> None:
    """Write a mesh, completely or not at all; a `motion` of it goes into a .glb alone.

    With the same `up` as in `read_mesh`, the same mesh is read back. .obj and .glb hold every
    texture except atlases of more than one pixel per face, .ply colors of vertices or faces,
    .off and .stl none. An OBJ with an image gets an .mtl and a .png file of the same name.
    Colors are stored as bytes, except vertex colors in .obj and .glb, and are clamped to [0,
    1]. Raises InputError for a mesh that the format cannot hold.
    """
    path = Path(path)
    suffix, texture = path.suffix.lower(), mesh.texture
    if suffix not in WRITABLE_MESH_SUFFIXES:
        raise InputError(
            f"{path}: unknown mesh format: end the name in {', '.join(WRITABLE_MESH_SUFFIXES)}"
        )
    large = isinstance(texture, FaceAtlas) and texture.images.shape[1] > 1
    taken = {
        ".ply": not isinstance(texture, UVTexture),
        ".off": texture is None,
        ".stl": texture is None,
    }
    if large or not taken.get(suffix, True):
        raise InputError(
            f"{path}: cannot hold this mesh's {type(texture).__name__}: write .obj or .glb "
            "with a UVTexture, or the mesh without its texture"
        )
    if suffix == ".obj" and isinstance(texture, UVTexture) and texture.colors is not None:
        raise InputError(
            f"{path}: cannot hold an image that is multiplied by colors: write .glb, or the "
            "mesh without its texture"
        )
    if len(mesh.faces) == 0:
        raise InputError(f"{path}: the mesh has no faces: write its points by write_points")
    if not bool(mesh.vertices.isfinite().all()):
        raise InputError(f"{path}: the mesh has vertices that are not finite: correct them")
    mesh = _detached(mesh)
    if _up(suffix, up) == "y":
        mesh = _rotated(mesh, _to_y)
        if motion is not None:
            turned = torch.stack([_to_y(each) for each in motion.displacements])
            motion = dataclasses.replace(motion, displacements=turned)
    uv = mesh.texture if isinstance(mesh.texture, UVTexture) else None
    if isinstance(mesh.texture, FaceAtlas):
        uv = _one_pixel_per_face(mesh.texture)
    if suffix == ".obj":
        write_obj(path, mesh, uv)
    elif suffix == ".glb":
        write_glb(path, mesh, uv, motion)
    else:
        {".ply": write_ply_mesh, ".off": write_off, ".stl": write_stl}[suffix](path, mesh)


def _check(path: Path, found: MeshContents) -> None:
    """Raise InputError for meshes without faces and for rows out of range."""
    count = len(found.vertices)
    if len(found.faces) == 0:
        if count:
            raise InputError(
                f"{path}: has {count} points and no faces: it is a point cloud: use read_points"
            )
        raise InputError(f"{path}: has no vertices and no faces: it is empty")
    rows = found.faces
    for face in ((rows < 0) | (rows >= count)).any(1).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{path}: face {face} names the vertices {rows[face].tolist()}, counted from 0, "
            f"but there are {count}: the file is damaged: make or copy it again"
        )


def _note_rounding(path: Path, vertices: Float[Tensor, "vertices 3"]) -> None:
    """Note coordinates that are so far from the origin that single precision loses detail."""
    low, high = vertices.aminmax(dim=0)
    size, reach = float((high - low).max()), float(vertices.abs().max())
    if size > 0 and reach * SINGLE_PRECISION > MAX_ROUNDING * size:
        note(
            f"{path}: is {reach:.3g} from the origin and only {size:.3g} large: vertices "
            f"are rounded to {reach * SINGLE_PRECISION:.1g}: subtract an offset"
        )


def _unique_rows(
    rows: Float[Tensor, "rows columns"],
) -> tuple[Int[Tensor, "distinct"], Int[Tensor, "rows"]]:
    """The first occurrence of each distinct row, in order, and each row's index among them."""
    # Adding 0 turns −0 into 0.
    bits = (rows + 0.0).contiguous().view(torch.int32).long()
    # Sorting one hash per row is much faster; if two rows collide, sort the rows instead.
    key = torch.zeros(len(rows), dtype=torch.long)
    for column in bits.unbind(1):
        key = (key ^ column) * HASH_MULTIPLIER
        key = key ^ (key >> 29)
    _, number = key.unique(return_inverse=True)
    first = _first_rows(number)
    if not torch.equal(bits[first][number], bits):
        _, number = bits.unique(dim=0, return_inverse=True)
        first = _first_rows(number)
    order = first.argsort()
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    return first[order], rank[number]


def _first_rows(number: Int[Tensor, "rows"]) -> Int[Tensor, "distinct"]:
    """The first row with each number."""
    first = torch.full((int(number.max()) + 1,), len(number))
    return first.scatter_reduce(0, number, torch.arange(len(number)), "amin")


def _unit(normals: Float[Tensor, "vertices 3"]) -> Float[Tensor, "vertices 3"] | None:
    """Normalized normals; None if some have no direction."""
    length = normals.norm(dim=1, keepdim=True)
    whole = bool(normals.isfinite().all()) and bool((length > 0).all())
    return (normals / length).float() if whole else None


def _up(suffix: str, up: Up | None) -> Up:
    """The given up axis, or else the format's."""
    return up or ("y" if suffix in (".obj", ".glb", ".gltf") else "z")


def _to_z(vectors: Float[Tensor, "vertices 3"]) -> Float[Tensor, "vertices 3"]:
    x, y, z = vectors.unbind(1)
    return torch.stack([x, -z, y], dim=1)


def _to_y(vectors: Float[Tensor, "vertices 3"]) -> Float[Tensor, "vertices 3"]:
    x, y, z = vectors.unbind(1)
    return torch.stack([x, z, -y], dim=1)


def _rotated(
    mesh: Mesh, turn: Callable[[Float[Tensor, "vertices 3"]], Float[Tensor, "vertices 3"]]
) -> Mesh:
    normals = None if mesh.normals is None else turn(mesh.normals)
    return dataclasses.replace(mesh, vertices=turn(mesh.vertices), normals=normals)


def _detached(mesh: Mesh) -> Mesh:
    """The mesh on the CPU, without gradients, with vertex colors in [0, 1]."""
    texture = mesh.texture
    if texture is not None:
        fields = {
            name: None if values is None else values.detach()
            for name, values in vars(texture).items()
        }
        texture = dataclasses.replace(texture, **fields)
    if isinstance(texture, VertexColors):
        texture = VertexColors(texture.colors.clamp(0, 1))
    normals = None if mesh.normals is None else mesh.normals.detach()
    return dataclasses.replace(
        mesh, vertices=mesh.vertices.detach(), texture=texture, normals=normals
    ).to("cpu")


def _one_pixel_per_face(atlas: FaceAtlas) -> UVTexture:
    """An image with one pixel per face; all corners of a face are at its pixel's center."""
    count = len(atlas.images)
    side = math.ceil(count**0.5)
    image = atlas.images.new_zeros(side * side, 3)
    image[:count] = atlas.images[:, 0, 0]
    face = torch.arange(count)
    uv = torch.stack([face % side + 0.5, side - (face // side) - 0.5], dim=1) / side
    return UVTexture(image.view(side, side, 3), uv, face[:, None].expand(-1, 3))

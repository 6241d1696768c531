"""Meshes in PLY files, with colors of vertices or faces, or with an image.

Read: polygons in `face` (vertex_indices or vertex_index), triangle strips in `tristrips`;
colors of vertices or else of faces; images that comments `TextureFile` name, as MeshLab writes
them, with coordinates at each face's corners (texcoord, and texnumber for several images) or at
each vertex (s t, u v or texture_u texture_v). An image that cannot be read is noted.
"""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.imaging.files import read_image, to_bytes
from unrender.notes import note
from unrender.shapes.files.contents import MISSING, Material, MeshContents, sibling_file
from unrender.shapes.files.ply import Array, Lists, Ply, read_ply, write_ply
from unrender.shapes.files.polygons import triangulate
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import FaceAtlas, VertexColors

INDICES = ("vertex_indices", "vertex_index")
UV = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texcoord_u", "texcoord_v"))
RGB = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)


def read_ply_mesh(path: Path, colored: bool) -> MeshContents:
    """Triangles and polygons, with their colors. Raises InputError if it cannot be read."""
    found = read_ply(path)
    columns = found.numbers("vertex")
    vertices = stacked(columns, ("x", "y", "z"))
    if vertices is None:
        raise InputError(f"{path}: has no columns x, y and z: it has no vertices")
    faces = found.elements.get("face", {})
    lists = next((faces[name] for name in INDICES if isinstance(faces.get(name), Lists)), None)
    lists = (
        cast(Lists, lists) if lists is not None else Lists(np.zeros(0, int), np.zeros(0, int))
    )
    corners = torch.from_numpy(lists.values.astype(np.int64))
    counts = torch.from_numpy(lists.counts)
    triangles, owner = triangulate(path, vertices, corners, counts)
    strips = _strips(found)
    contents = MeshContents(
        vertices,
        torch.cat([corners[triangles], strips]),
        stacked(columns, ("nx", "ny", "nz")),
    )
    if not colored:
        return contents
    materials = _images(path, found)
    face_colors = ply_colors(found.numbers("face"))
    mapped = _coordinates(path, found, triangles, contents.faces, counts) if materials else None
    if mapped is None or len(strips):
        materials = ()
    numbers = found.numbers("face").get("texnumber")
    chosen = torch.zeros(len(contents.faces), dtype=torch.long)
    if materials and numbers is not None:
        chosen = torch.from_numpy(numbers.astype(np.int64))[owner]
        chosen[(chosen < 0) | (chosen >= len(materials))] = MISSING
    kept = [k for k, material in enumerate(materials) if material is not None]
    row = torch.full((len(materials) + 1,), MISSING)
    row[kept] = torch.arange(len(kept))
    return MeshContents(
        contents.vertices,
        contents.faces,
        contents.normals,
        None if kept else ply_colors(columns),
        None if face_colors is None or len(strips) else face_colors[owner],
        tuple(m for m in materials if m is not None),
        row[chosen] if kept else None,
        None if mapped is None else mapped[0],
        None if mapped is None else mapped[1],
    )


def stacked(
    columns: dict[str, Array], names: tuple[str, str, str]
) -> Float[Tensor, "rows 3"] | None:
    """Three columns in double precision, or None if some are missing."""
    if not all(name in columns for name in names):
        return None
    rows = [columns[name].astype(np.float64) for name in names]
    return torch.from_numpy(np.stack(rows, axis=1))


def ply_colors(columns: dict[str, Array]) -> Float[Tensor, "rows 3"] | None:
    """RGB columns: integers by the range of their type, and floats as they are."""
    for names in RGB:
        found = stacked(columns, names)
        if found is None:
            continue
        kind = columns[names[0]].dtype
        if kind.kind == "f" or not len(found):
            return found
        # Wider integers hold bytes too.
        small = kind.itemsize > 1 and float(found.max()) <= 255
        scale = 255.0 if small else float(np.iinfo(kind).max)
        return found / scale
    return None


def _strips(found: Ply) -> Int[Tensor, "faces 3"]:
    """Triangles of strips, which end at −1 and turn at every other triangle."""
    lists = found.elements.get("tristrips", {}).get(INDICES[0])
    if not isinstance(lists, Lists) or len(lists.values) < 3:
        return torch.zeros(0, 3, dtype=torch.long)
    rows = torch.from_numpy(lists.values.astype(np.int64))
    ends = torch.from_numpy(lists.counts.cumsum())
    number = torch.searchsorted(ends, torch.arange(len(rows)), right=True)
    triples, same = rows.unfold(0, 3, 1), number.unfold(0, 3, 1)
    kept = (triples != -1).all(1) & (same == same[:, :1]).all(1)
    # The place of each row in its strip: behind a list's beginning or a −1.
    index = torch.arange(len(rows))
    begins = torch.zeros(len(rows), dtype=torch.long)
    begins[1:] = torch.where((rows[:-1] == -1) | (number[1:] != number[:-1]), index[1:], 0)
    odd = (index - begins.cummax(0).values)[: len(triples)] % 2 == 1
    return torch.where(odd[:, None], triples[:, [1, 0, 2]], triples)[kept]


def _images(path: Path, found: Ply) -> tuple[Material | None, ...]:
    """The images that comments name; None for those that cannot be read, which is noted."""
    images: list[Material | None] = []
    for comment in found.header.comments:
        kind, _, name = comment.partition(" ")
        if kind.lower() != "texturefile" or not name.strip():
            continue
        try:
            image = read_image(sibling_file(path, name))[..., :3]
            images.append(Material(torch.ones(3), image))
        except InputError as error:
            note(f"{error}; its faces are read without color")
            images.append(None)
    return tuple(images)


def _coordinates(
    path: Path,
    found: Ply,
    triangles: Int[Tensor, "faces 3"],
    faces: Int[Tensor, "faces 3"],
    counts: Int[Tensor, "polygons"],
) -> tuple[Float[Tensor, "coordinates 2"], Int[Tensor, "faces 3"]] | None:
    """Texture coordinates and their rows, by corners or by vertices; None, with a note."""
    lists = found.elements.get("face", {}).get("texcoord")
    if isinstance(lists, Lists):
        given = torch.from_numpy(lists.counts)
        if bool(((given == 2 * counts) | (given == 0)).all()):
            uv = torch.from_numpy(lists.values.astype(np.float64)).view(-1, 2)
            if bool((given > 0).all()):
                return uv, triangles
            # The rows of corners among those of the polygons that have coordinates.
            has = (given > 0).repeat_interleave(counts)
            rows = torch.where(has, has.long().cumsum(0) - 1, MISSING)
            return uv, rows[triangles]
    columns = found.numbers("vertex")
    for names in UV:
        if all(name in columns for name in names):
            rows = [columns[name].astype(np.float64) for name in names]
            return torch.from_numpy(np.stack(rows, axis=1)), faces
    note(f"{path}: names an image and has no texture coordinates: it is read without it")
    return None


def write_ply_mesh(path: Path, mesh: Mesh) -> None:
    """Write vertices with normals and colors, and triangles with colors; colors are bytes."""
    columns = _columns(("x", "y", "z"), mesh.vertices.float())
    if mesh.normals is not None:
        columns |= _columns(("nx", "ny", "nz"), mesh.normals.float())
    rgb = ("red", "green", "blue")
    if isinstance(mesh.texture, VertexColors):
        columns |= _columns(rgb, to_bytes(mesh.texture.colors))
    of_faces: dict[str, Array] = {}
    if isinstance(mesh.texture, FaceAtlas):
        of_faces = _columns(rgb, to_bytes(mesh.texture.images[:, 0, 0]))
    write_ply(path, columns, mesh.faces.numpy().astype(np.int32), of_faces)


def _columns(names: tuple[str, ...], values: Tensor) -> dict[str, Array]:
    return {name: values[:, k].numpy() for k, name in enumerate(names)}

"""Wavefront OBJ files; for their materials, see `mtl`.

Read: v, with colors after the position if there are any; vt; f with any number of corners;
usemtl and mtllib. Faces of fewer than three corners, lines, points and curves are left out with
a note. Groups, smoothing and normals are ignored: normals have a separate index, so that a
vertex may have several.
"""

import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import MAX_BYTES, read_text, replacing
from unrender.imaging.files import write_image
from unrender.notes import note
from unrender.shapes.files.contents import (
    MISSING,
    PARSE_ERRORS,
    Material,
    MeshContents,
    unit_colors,
)
from unrender.shapes.files.mtl import lines_of, material_of, read_libraries
from unrender.shapes.files.polygons import triangulate
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture, VertexColors

SKIPPED = {"l": "lines", "p": "points", "curv": "curves", "curv2": "curves", "surf": "surfaces"}
"""Elements that are not faces."""
WIDTHS = {"v": (3, 4, 6, 7, 8), "vt": (1, 2, 3)}
"""How many numbers a line may have."""


def read_obj(path: Path, colored: bool) -> MeshContents:
    """The file's triangles, in its order. Raises InputError if it cannot be read."""
    vertices: list[str] = []
    coordinates: list[str] = []
    faces: list[str] = []
    libraries: list[str] = []
    names: dict[str, int] = {}
    face_material: list[int] = []
    material = MISSING
    skipped: Counter[str] = Counter()
    # Names may use any alphabet; bytes that are not text fail to parse as numbers later.
    for line in lines_of(read_text(path, MAX_BYTES)):
        kind, _, rest = line.lstrip().replace("\t", " ").partition(" ")
        if kind == "usemtl":
            material = names.setdefault(rest.strip(), len(names))
        elif kind == "mtllib":
            libraries.append(rest.strip())
        elif kind in SKIPPED:
            skipped[SKIPPED[kind]] += 1
        elif kind in ("v", "vt", "f"):
            rest = rest.partition("#")[0] if "#" in rest else rest
            if kind == "v":
                vertices.append(rest)
            elif kind == "vt":
                coordinates.append(rest)
            else:
                # Negative indices are relative to the lines read so far.
                faces.append(
                    _absolute_indices(path, rest, len(vertices), len(coordinates))
                    if "-" in rest
                    else rest
                )
                face_material.append(material)
    for what, count in skipped.items():
        note(f"{path}: {count} {what} are left out: only faces are read")
    try:
        numbers, widths = _table(path, "v", vertices)
        corners, counts = _corners(faces)
        uv = _coordinates(path, coordinates) if colored else None
    except InputError:
        raise
    except PARSE_ERRORS as error:
        raise InputError(
            f"{path}: is not an OBJ file ({one_line(error)[:120]}): correct it"
        ) from error
    triangles, owner = triangulate(path, numbers[:, :3], corners[:, 0], counts)
    found = MeshContents(numbers[:, :3], corners[:, 0][triangles])
    if not colored:
        return found
    known, row = _materials(path, libraries, names) if libraries else ([], {})
    of_face = torch.tensor([row.get(k, MISSING) for k in face_material], dtype=torch.long)
    # Programs that write both have taken the vertex colors from the image.
    images = any(material.image is not None for material in known)
    return MeshContents(
        found.vertices,
        found.faces,
        vertex_colors=None if images else _vertex_colors(path, numbers, widths),
        materials=tuple(known),
        face_material=of_face[owner] if known else None,
        uv=uv,
        faces_uv=None if uv is None else corners[:, 1][triangles],
    )


def _table(
    path: Path, kind: str, lines: list[str]
) -> tuple[Float[Tensor, "rows columns"], Int[Tensor, "rows"]]:
    """Lines of numbers as a table, with NaN behind shorter ones, and their lengths."""
    if not lines:
        return torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.long)
    words = " ".join(lines).split()
    widths = np.fromiter((len(line.split()) for line in lines), np.int64, len(lines))
    wrong = np.flatnonzero(~np.isin(widths, WIDTHS[kind]))
    if len(wrong):
        raise InputError(
            f"{path}: line `{kind}` {wrong[0] + 1} is {lines[wrong[0]].strip()[:60]!r}: give "
            f"{' or '.join(map(str, WIDTHS[kind]))} numbers"
        )
    try:
        numbers = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError as error:
        commas = [word for word in words if "," in word]
        if not commas:
            raise
        raise InputError(
            f"{path}: has the number {commas[0][:40]!r}: write a decimal point, and spaces "
            "between numbers"
        ) from error
    table = np.full((len(lines), widths.max()), np.nan)
    table[np.arange(widths.max()) < widths[:, None]] = numbers
    return torch.from_numpy(table), torch.from_numpy(widths)


def _coordinates(path: Path, lines: list[str]) -> Float[Tensor, "coordinates 2"] | None:
    """Texture coordinates; None if there are none, or if they are not numbers."""
    if not lines:
        return None
    try:
        table, widths = _table(path, "vt", lines)
    except (InputError, *PARSE_ERRORS) as error:
        note(f"{path}: has no valid texture coordinates ({one_line(error)[:120]})")
        return None
    if table.shape[1] == 1:
        table = torch.cat([table, torch.zeros_like(table)], dim=1)
    table[widths == 1, 1] = 0.0
    return table[:, :2]


def _vertex_colors(
    path: Path, numbers: Float[Tensor, "rows columns"], widths: Int[Tensor, "rows"]
) -> Float[Tensor, "rows 3"] | None:
    """Colors behind the positions; white where a vertex has none."""
    has = widths >= 6
    if not bool(has.any()):
        return None
    colors = torch.full((len(numbers), 3), float("nan"), dtype=torch.float64)
    colors[has] = numbers[has, 3:6]
    # Seven numbers are a weight before the color, which is 1, or opacity behind it.
    seven, eight = widths == 7, widths == 8
    if bool(seven.any()) and bool((numbers[seven, 3] == 1).all()):
        constant = bool((numbers[seven, 6] == numbers[seven, 6][0]).all())
        if not constant or bool((numbers[seven, 6] == 0).all()):
            colors[seven] = numbers[seven, 4:7]
    if bool(eight.any()):
        colors[eight] = numbers[eight, 4:7]
    found = unit_colors(path, "vertex colors", colors[has])
    if found is None:
        return None
    if not bool(has.all()):
        note(f"{path}: {int((~has).sum())} of {len(has)} vertices have no color: made white")
    return torch.ones_like(colors).masked_scatter_(has[:, None], found)


def _corners(lines: list[str]) -> tuple[Int[Tensor, "corners 2"], Int[Tensor, "polygons"]]:
    """Vertex and uv rows of each corner, and the number of corners of each polygon."""
    words = " ".join(lines).split()
    counts = torch.tensor([len(line.split()) for line in lines], dtype=torch.long)
    if any("/" in word for word in words):
        # v, v/vt, v//vn or v/vt/vn: rows count from 1, so 0 can stand for a missing one.
        words = [f"{word}/0".replace("//", "/0/") for word in words]
        pairs = [word.split("/", 2)[:2] for word in words]
        flat = np.fromiter((int(index) for pair in pairs for index in pair), np.int64)
        return torch.from_numpy(flat.reshape(-1, 2) - 1), counts
    rows = torch.from_numpy(np.fromiter(map(int, words), np.int64, len(words)))
    return torch.stack([rows - 1, torch.full_like(rows, MISSING)], dim=1), counts


def _absolute_indices(path: Path, corners: str, num_vertices: int, num_coordinates: int) -> str:
    """The corners of a face with relative (negative) indices made absolute."""
    seen = (num_vertices, num_coordinates, 0)

    def turned(index: str, count: int) -> str:
        return str(count + 1 + int(index)) if index.startswith("-") else index

    try:
        return " ".join(
            "/".join(turned(i, k) for i, k in zip(word.split("/"), seen, strict=False))
            for word in corners.split()
        )
    except ValueError as error:
        raise InputError(f"{path}: a face is {corners.strip()[:60]!r}: correct it") from error


def _materials(
    path: Path, libraries: list[str], names: dict[str, int]
) -> tuple[list[Material], dict[int, int]]:
    """The materials that faces use and that have colors, and their rows by those of `names`."""
    library, whole = read_libraries(path, libraries)
    if not names and len(library) == 1:
        note(f"{path}: has no usemtl: the only material of its library is used")
        names = {next(iter(library)): MISSING}
    elif not names and library:
        note(f"{path}: has no usemtl: the {len(library)} materials of its library are not used")
    found: list[Material] = []
    rows: dict[int, int] = {}
    unknown: list[str] = []
    for name, number in names.items():
        # A comment behind a name looks like a part of it.
        key = name if name in library else re.split(r"\s#", name)[0].strip()
        if key not in library:
            unknown.append(name)
            continue
        material = material_of(library, key)
        if material is not None:
            rows[number] = len(found)
            found.append(material)
    if unknown and whole:
        others = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        note(
            f"{path}: uses the material {unknown[0][:60]!r}{others}, which its library "
            "does not define: these faces are read without color"
        )
    return found, rows


def write_obj(path: Path, mesh: Mesh, uv: UVTexture | None) -> None:
    """Write the mesh with its vertex colors, or with an MTL and a PNG file beside it.

    The files are moved to their final names once all of them are written.
    """
    table, texture = mesh.vertices, mesh.texture
    if isinstance(texture, VertexColors):
        table = torch.cat([table, texture.colors], dim=1)
    lines = ["v " + " ".join(f"{x:.9g}" for x in row) for row in table.tolist()]
    with ExitStack() as files:
        # Exited last to first: the file that refers to the others is moved into place last.
        target = files.enter_context(replacing(path))
        rows = (mesh.faces + 1).tolist()
        if uv is None:
            lines += [f"f {a} {b} {c}" for a, b, c in rows]
        else:
            library, image = path.with_suffix(".mtl"), path.with_suffix(".png")
            material = files.enter_context(replacing(library))
            shading = "illum 0\n" if mesh.unlit else ""
            content = f"newmtl surface\nKd 1 1 1\n{shading}map_Kd {image.name}\n"
            material.write_text(content, "utf-8")
            write_image(files.enter_context(replacing(image)), uv.image)
            lines += [f"vt {u:.9g} {v:.9g}" for u, v in uv.uv.tolist()]
            lines[:0] = [f"mtllib {library.name}", "usemtl surface"]
            lines += [
                f"f {a}/{d} {b}/{e} {c}/{f}"
                for (a, b, c), (d, e, f) in zip(rows, (uv.faces_uv + 1).tolist(), strict=True)
            ]
        target.write_text("\n".join(lines) + "\n", "utf-8")

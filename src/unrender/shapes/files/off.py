"""OFF files: text with vertices and polygons, and colors of either.

Read: OFF with the prefixes ST, C and N (texture coordinates are passed over); counts on the
first line or on the next; colors of faces as three or four numbers behind their corners.
trimesh is not used, because it ignores missing faces and corners and changes the order of
polygons.
http://www.geomview.org/docs/html/OFF.html
"""

import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import MAX_BYTES, read_text, replacing
from unrender.notes import note
from unrender.shapes.files.contents import PARSE_ERRORS, MeshContents, unit_colors
from unrender.shapes.files.polygons import triangulate
from unrender.shapes.mesh import Mesh


def read_off(path: Path, colored: bool) -> MeshContents:
    """Polygons, with colors of vertices or else of faces.

    Raises InputError if the file cannot be read.
    """
    lines = read_text(path, MAX_BYTES).removeprefix("\ufeff").splitlines()
    rows = [words for line in lines if (words := line.partition("#")[0].split())]
    try:
        return _parse(path, rows, colored)
    except InputError:
        raise
    except PARSE_ERRORS as error:
        raise InputError(
            f"{path}: cannot be read as OFF ({one_line(error)[:120]}); it may be truncated: "
            "make or copy it again"
        ) from error


def _parse(path: Path, rows: list[list[str]], colored: bool) -> MeshContents:
    found = re.match(r"(ST)?(C)?(N)?(4)?(n)?OFF(.*)", rows[0][0])
    if found is None:
        raise InputError(f"{path}: is not an OFF file: it does not begin with `OFF`")
    texture, color, normal, four, any_size, rest = found.groups()
    if four or any_size:
        raise InputError(
            f"{path}: is {found[0][:20]}, with vertices that are not of 3 dimensions: convert "
            "it to OFF"
        )
    behind = ([rest] if rest else []) + rows[0][1:]
    if behind[:1] == ["BINARY"]:
        raise InputError(f"{path}: is a binary OFF file: convert it to text")
    # Some files have the counts on the first line.
    counts, first = (behind, 1) if behind else (rows[1], 2)
    num_vertices, num_faces = int(counts[0]), int(counts[1])
    if min(num_vertices, num_faces) < 0 or num_vertices + num_faces > len(rows) - first:
        raise InputError(
            f"{path}: announces {num_vertices} vertices and {num_faces} faces, but has "
            f"{len(rows) - first} lines for them: copy it again"
        )
    table = rows[first : first + num_vertices]
    places = [[float(word) for word in row[:3]] for row in table]
    vertices = torch.tensor(places, dtype=torch.float64).view(-1, 3)
    polygons = rows[first + num_vertices : first + num_vertices + num_faces]
    sizes = [int(row[0]) for row in polygons]
    if any(not 0 <= size < len(row) for size, row in zip(sizes, polygons, strict=True)):
        raise InputError(f"{path}: a face has fewer corners than it says: copy it again")
    corners = torch.tensor(
        [int(w) for size, row in zip(sizes, polygons, strict=True) for w in row[1 : 1 + size]],
        dtype=torch.long,
    )
    triangles, owner = triangulate(path, vertices, corners, torch.tensor(sizes).long())
    contents = MeshContents(vertices, corners[triangles])
    if not colored:
        return contents
    begin = 6 if normal else 3
    count = {len(row) - begin - (2 if texture else 0) for row in table}
    if color and count <= {3, 4}:
        words = [row[begin : begin + 3] for row in table]
        return MeshContents(
            vertices, contents.faces, vertex_colors=_colors(path, "vertex colors", words)
        )
    if color:
        note(f"{path}: says that it has colors, and has none: it is read without")
    words = [row[1 + size : 4 + size] for size, row in zip(sizes, polygons, strict=True)]
    # One number is a row of a map of colors that is in another file.
    if not words or min(map(len, words)) < 3:
        return contents
    faces = _colors(path, "face colors", words)
    return MeshContents(
        vertices, contents.faces, face_colors=None if faces is None else faces[owner]
    )


def _colors(path: Path, what: str, words: list[list[str]]) -> Float[Tensor, "rows 3"] | None:
    """Colors as whole numbers to 255, or as others to 1."""
    try:
        numbers = [[float(word) for word in row] for row in words]
    except ValueError:
        note(f"{path}: has {what} that are not numbers: it is read without them")
        return None
    values = torch.tensor(numbers, dtype=torch.float64).view(-1, 3)
    if all(word.isdecimal() for row in words for word in row):
        inside = bool((values <= 255).all())
        return values / 255 if inside else unit_colors(path, what, values)
    return unit_colors(path, what, values)


def write_off(path: Path, mesh: Mesh) -> None:
    """Write a text file; nine digits preserve single precision."""
    lines = ["OFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")

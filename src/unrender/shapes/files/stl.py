"""STL files, binary or text: triangles that do not share vertices.

trimesh is not used, because it logs tracebacks for damaged text, and refuses bytes behind the
last triangle. Colors, for which there is no agreed encoding, are ignored.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrender.errors import InputError, one_line
from unrender.files import read_bytes, replacing
from unrender.notes import note
from unrender.shapes.files.contents import MeshContents
from unrender.shapes.mesh import Mesh, face_normals

Array = np.ndarray[Any, np.dtype[Any]]
HEADER = 84
"""Bytes before the triangles of a binary file."""
TRIANGLE = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path, colored: bool) -> MeshContents:
    """Triangles with three vertices each. Raises InputError if the file cannot be read."""
    content = read_bytes(path)
    if not content.strip():
        raise InputError(f"{path}: is empty: make or copy it again")
    count = int.from_bytes(content[80:HEADER], "little") if len(content) >= HEADER else -1
    size = HEADER + TRIANGLE.itemsize * count
    # Many binary files begin with `solid` too.
    if count >= 0 and len(content) == size:
        vertices = _binary(content, count)
    elif re.search(rb"\bfacet\b|\bendsolid\b", content[: 1 << 16].lower()):
        vertices = _text(path, content)
    elif count < 0 or len(content) < size:
        raise InputError(
            f"{path}: cannot be read as STL: it has {len(content)} bytes, fewer than its "
            "triangles need: copy it again"
        )
    else:
        whole = (len(content) - HEADER) // TRIANGLE.itemsize
        if count == 0 and whole and len(content) == HEADER + TRIANGLE.itemsize * whole:
            note(f"{path}: says that it has no triangles, and has {whole}: they are read")
            count = whole
        else:
            note(f"{path}: has {len(content) - size} bytes behind its triangles: left out")
        vertices = _binary(content, count)
    with np.errstate(invalid="ignore"):  # NaN is refused later.
        rows = torch.from_numpy(vertices.astype(np.float64).reshape(-1, 3))
    return MeshContents(rows, torch.arange(len(rows)).view(-1, 3), split_vertices=True)


def _binary(content: bytes, count: int) -> Array:
    return np.frombuffer(content, TRIANGLE, count, HEADER)["corners"]


def _text(path: Path, content: bytes) -> Array:
    """All solids of a text file."""
    words = content.lower()
    corners = re.findall(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", words)
    facets = len(re.findall(rb"\bendfacet\b", words))
    opened = len(re.findall(rb"\bfacet\s+normal\b", words))
    if len(corners) != 3 * facets or opened != facets or b"endsolid" not in words[-4096:]:
        raise InputError(
            f"{path}: cannot be read as STL: it has {len(corners)} corners for {opened} "
            "triangles, or no `endsolid`; it may be truncated: copy it again"
        )
    try:
        return np.array([[float(x) for x in row] for row in corners]).reshape(-1, 3)
    except ValueError as error:
        raise InputError(
            f"{path}: cannot be read as STL ({one_line(error)[:80]}): correct it"
        ) from error


def write_stl(path: Path, mesh: Mesh) -> None:
    """Write a binary file; triangles do not share vertices in STL."""
    rows = np.zeros(len(mesh.faces), TRIANGLE)
    normals = torch.nn.functional.normalize(face_normals(mesh.vertices, mesh.faces), dim=1)
    rows["normal"], rows["corners"] = normals.numpy(), mesh.vertices[mesh.faces].numpy()
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(b"unrender".ljust(80) + np.array(len(rows), "<u4").tobytes())
        stream.write(rows.tobytes())

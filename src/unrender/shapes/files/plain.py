"""Mesh formats without materials: PLY, STL and OFF.

PLY and STL are parsed by trimesh. Its reader of OFF is not used, because it ignores missing
faces and corners and does not keep the order of polygons. Face colors of OFF and colors of STL,
for which there is no agreed encoding, are ignored.
"""

import io
import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import read_bytes, replacing
from unrender.imaging.files import to_bytes
from unrender.shapes.files.contents import (
    PARSE_ERRORS,
    MeshContents,
    triangulate_fans,
)
from unrender.shapes.files.ply import write_ply
from unrender.shapes.mesh import Mesh, face_normals
from unrender.shapes.textures import FaceAtlas, VertexColors

Array = np.ndarray[Any, np.dtype[Any]]


def read_ply_mesh(path: Path, colored: bool) -> MeshContents:
    """Triangles and polygons, with vertex colors or else face colors.

    Raises InputError if the file cannot be read.
    """
    from trimesh.exchange.ply import load_ply  # noqa: PLC0415 - half a second

    content = read_bytes(path)
    head = content[: content.find(b"end_header")]
    if colored and b"comment TextureFile" in head:
        raise InputError(
            f"{path}: has a texture, which is not supported in PLY: store it as .obj or .glb, "
            "or read the geometry alone (colored=False)"
        )
    with _reporting_errors(path, "PLY"):
        found = cast(dict[str, Any], load_ply(io.BytesIO(content)))
        elements = found["metadata"]["_ply_raw"]
        vertices = found.get("vertices", np.zeros((0, 3)))
        faces = found.get("faces")
        polygons = np.zeros((0, 3)) if faces is None else np.asarray(faces)
        for name, rows in (("vertex", vertices), ("face", polygons)):
            count = elements.get(name, {}).get("length", 0)
            # Quads that trimesh has split are more rows, but there are never fewer.
            if len(rows) < count:
                raise InputError(
                    f"{path}: has {len(rows)} of {count} elements `{name}`: copy it again"
                )
        cut = 1
        if polygons.shape[1] != 3:
            counts = torch.full((len(polygons),), polygons.shape[1])
            rows = torch.from_numpy(polygons.astype(np.int64)).flatten()
            triangles, cut = rows[triangulate_fans(path, counts)], polygons.shape[1] - 2
        else:
            triangles = torch.from_numpy(polygons.astype(np.int64))
        face_colors = _unit_range(path, found.get("face_colors")) if colored else None
        if face_colors is not None:
            face_colors = face_colors.repeat_interleave(cut, dim=0)
            if len(face_colors) != len(triangles):
                raise InputError(
                    f"{path}: has colors on polygons of different sizes: triangulate it"
                )
        normals = found.get("vertex_normals")
        return MeshContents(
            torch.from_numpy(vertices.astype(np.float64)),
            triangles,
            None if normals is None else torch.from_numpy(normals.astype(np.float64)),
            _unit_range(path, found.get("vertex_colors")) if colored else None,
            face_colors,
        )


def _unit_range(path: Path, values: Array | None) -> Float[Tensor, "rows 3"] | None:
    """RGB in [0, 1] from integers, or from floats that are in this range already."""
    if values is None:
        return None
    scale = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    colors = torch.from_numpy(values[:, :3].astype(np.float64)) / scale
    if not bool(((colors >= 0) & (colors <= 1)).all()):
        raise InputError(f"{path}: has colors outside of [0, 1]: write them as bytes")
    return colors


def read_stl(path: Path) -> MeshContents:
    """Triangles with three vertices each, from a binary or text file.

    Raises InputError if the file cannot be read.
    """
    from trimesh.exchange.stl import load_stl  # noqa: PLC0415 - half a second

    content = read_bytes(path)
    with _reporting_errors(path, "STL"):
        found = cast(dict[str, Any], load_stl(io.BytesIO(content)))
        # Text files with several solids are parsed into several parts.
        parts = cast(Mapping[str, dict[str, Any]], found.get("geometry", {"": found}))
        corners = [part["vertices"].astype(np.float64) for part in parts.values()]
        vertices = torch.from_numpy(np.concatenate([np.zeros((0, 3)), *corners]))
    return MeshContents(vertices, torch.arange(len(vertices)).view(-1, 3), split_vertices=True)


def read_off(path: Path) -> MeshContents:
    """Polygons of an OFF file; vertex colors in COFF are ignored.

    Raises InputError if the file cannot be read.
    """
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    rows = [words for line in lines if (words := line.partition("#")[0].split())]
    with _reporting_errors(path, "OFF"):
        name = rows[0][0]
        start = name.find("OFF") + 3
        if start < 3 or name[: start - 3] not in ("", "C", "N", "CN", "ST"):
            raise InputError(f"{path}: is not an OFF file: it does not begin with `OFF`")
        # Some files have the counts on the first line.
        counts = [name[start:], *rows[0][1:]] if name[start:] else rows[0][1:] or rows[1]
        first = 1 if name[start:] or rows[0][1:] else 2
        num_vertices, num_faces = int(counts[0]), int(counts[1])
        if min(num_vertices, num_faces) < 0 or num_vertices + num_faces > len(rows) - first:
            raise InputError(
                f"{path}: announces {num_vertices} vertices and {num_faces} faces, but has "
                f"{len(rows) - first} lines for them: copy it again"
            )
        table = rows[first : first + num_vertices]
        vertices = torch.tensor([[float(word) for word in row[:3]] for row in table])
        polygons = [
            [int(word) for word in row[: 1 + int(row[0])]]
            for row in rows[first + num_vertices : first + num_vertices + num_faces]
        ]
        if any(len(polygon) != 1 + polygon[0] for polygon in polygons):
            raise InputError(f"{path}: a face has fewer corners than it says: copy it again")
        corners = torch.tensor([index for polygon in polygons for index in polygon[1:]])
        sizes = torch.tensor([polygon[0] for polygon in polygons], dtype=torch.long)
        return MeshContents(
            vertices.double().view(-1, 3), corners.long()[triangulate_fans(path, sizes)]
        )


@contextmanager
def _reporting_errors(path: Path, kind: str) -> Generator[None]:
    """Raise a parser's errors and warnings as InputError, and silence its log."""
    # Its modules log by loggers of their own, below this one.
    log = logging.getLogger("trimesh")
    level, handlers, passed_on = log.level, log.handlers, log.propagate
    log.handlers, log.propagate = [logging.NullHandler()], False
    log.setLevel(logging.CRITICAL + 1)
    try:
        # numpy warns of signaling NaNs; NaNs are rejected later, where they matter.
        with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
            # numpy's warning for text where numbers were expected.
            warnings.filterwarnings("error", "string or file could not be read")
            yield
    except InputError:
        raise
    except (*PARSE_ERRORS, Warning) as error:
        raise InputError(
            f"{path}: cannot be read as {kind} ({one_line(error)}); it may be truncated: make "
            "or copy it again"
        ) from error
    finally:
        log.handlers, log.propagate = handlers, passed_on
        log.setLevel(level)


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


def write_off(path: Path, mesh: Mesh) -> None:
    """Write a text file; nine digits preserve single precision."""
    lines = ["OFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def write_stl(path: Path, mesh: Mesh) -> None:
    """Write a binary file; triangles do not share vertices in STL."""
    kind = [("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    rows = np.zeros(len(mesh.faces), np.dtype(kind))
    normals = torch.nn.functional.normalize(face_normals(mesh.vertices, mesh.faces), dim=1)
    rows["normal"], rows["corners"] = normals.numpy(), mesh.vertices[mesh.faces].numpy()
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(b"unrender".ljust(80) + np.array(len(rows), "<u4").tobytes())
        stream.write(rows.tobytes())

"""PLY files: a header, then the values of vertices and of a mesh's faces.

http://paulbourke.net/dataformats/ply/. Vertex columns are read by name, from ASCII or binary
files. Files are written as little-endian binary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrender.errors import InputError, one_line
from unrender.files import read_bytes, replacing, whole_number

Array = np.ndarray[Any, np.dtype[Any]]

TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
NAMES = {"f4": "float", "u1": "uchar", "i4": "int"}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER_BYTES = 1 << 16
MAX_BYTES = 8 << 30


@dataclass(frozen=True)
class _Header:
    kind: str
    """"ascii", or one of ORDERS."""
    count: int
    """Number of vertices."""
    columns: tuple[tuple[str, str], ...]
    """Name and type of each vertex property."""
    size: int
    """Size of the header in bytes."""


def read_ply(path: Path) -> dict[str, Array]:
    """The vertex columns by name; faces are ignored.

    Raises InputError for files that cannot be read.
    """
    content = read_bytes(path, MAX_BYTES)
    header = _read_header(path, content)
    if header.kind == "ascii":
        return _read_ascii(path, content, header)
    row = np.dtype([(name, ORDERS[header.kind] + kind) for name, kind in header.columns])
    if header.count * row.itemsize > len(content) - header.size:
        raise InputError(
            f"{path}: announces {header.count} vertices of {row.itemsize} bytes, but has "
            f"{len(content) - header.size} bytes: it is truncated: copy it again"
        )
    table = np.frombuffer(content, row, header.count, header.size)
    return {name: np.ascontiguousarray(table[name]) for name, _ in header.columns}


def _read_header(path: Path, content: bytes) -> _Header:
    end = content.find(b"end_header", 0, MAX_HEADER_BYTES)
    stop = content.find(b"\n", end) + 1
    if not content.startswith(b"ply") or end < 0 or stop == 0:
        raise InputError(f"{path}: is not a PLY file: no header from `ply` to `end_header`")
    kind, count, element = "", 0, ""
    columns: list[tuple[str, str]] = []
    before = False
    for line in content[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) > 1:
            kind = words[1]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            before = before or element not in ("", "vertex")
            element = words[1]
            if element == "vertex":
                count = whole_number(str(path), "the number of vertices", words[2], 0)
                if before:
                    raise InputError(f"{path}: has other elements before its vertices")
        elif words[0] == "property" and element == "vertex":
            if len(words) != 3 or words[1] not in TYPES:
                raise InputError(f"{path}: a vertex has {line.strip()[:60]!r}: write numbers")
            columns.append((words[2], TYPES[words[1]]))
        elif words[0] not in ("property", "element"):
            raise InputError(f"{path}: the header says {line.strip()[:60]!r}: write it again")
    names = [name for name, _ in columns]
    if kind not in ("ascii", *ORDERS) or not columns or len(set(names)) < len(names):
        raise InputError(f"{path}: its header has no format or no vertices: write it again")
    return _Header(kind, count, tuple(columns), stop)


def _read_ascii(path: Path, content: bytes, header: _Header) -> dict[str, Array]:
    lines = content[header.size :].split(b"\n", header.count)
    if len(lines) < header.count:
        raise InputError(f"{path}: has {len(lines)} of {header.count} vertices: copy it again")
    try:
        rows = [[float(word) for word in line.split()] for line in lines[: header.count]]
        table = np.array(rows, np.float64).reshape(header.count, len(header.columns))
    except ValueError as error:
        raise InputError(
            f"{path}: a vertex does not match the header ({one_line(error)[:120]})"
        ) from error
    return {name: table[:, k].astype(kind) for k, (name, kind) in enumerate(header.columns)}


def write_ply(
    path: Path,
    columns: Mapping[str, Array],
    faces: Array | None = None,
    of_faces: Mapping[str, Array] | None = None,
) -> None:
    """Write vertices, and optionally triangles, completely or not at all.

    `columns` are those of the vertices, `faces` has shape [faces, 3], and `of_faces` are
    columns of the faces.
    """
    kinds = {name: values.dtype.str[1:] for name, values in columns.items()}
    (count,) = {len(values) for values in columns.values()}
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property {NAMES[kind]} {name}" for name, kind in kinds.items()]
    if faces is not None:
        lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        lines += [f"property {NAMES[v.dtype.str[1:]]} {k}" for k, v in (of_faces or {}).items()]
    table = np.empty(count, np.dtype([(name, "<" + kind) for name, kind in kinds.items()]))
    for name, values in columns.items():
        table[name] = values
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write("\n".join([*lines, "end_header\n"]).encode())
        stream.write(table.tobytes())
        if faces is not None:
            more = [(k, "<" + v.dtype.str[1:]) for k, v in (of_faces or {}).items()]
            kind = np.dtype([("_n", "u1"), ("_v", "<i4", (3,)), *more])
            rows = np.empty(len(faces), kind)
            rows["_n"], rows["_v"] = 3, faces
            for name, values in (of_faces or {}).items():
                rows[name] = values
            stream.write(rows.tobytes())

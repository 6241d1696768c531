"""PLY files: a header, then elements such as vertices and faces, each with named properties.

http://paulbourke.net/dataformats/ply/. All elements are read, from ASCII or binary files of
either byte order; properties may be numbers or lists of any lengths. Files are written as
little-endian binary.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unrender.errors import InputError, one_line
from unrender.files import read_bytes, read_head, replacing, whole_number

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
class Lists:
    """A property that is a list in each row of an element."""

    counts: Array
    """The length of each list."""
    values: Array
    """The values of all lists, concatenated."""


@dataclass(frozen=True)
class Property:
    """A named column of an element."""

    name: str
    kind: str
    """Its type, without byte order, such as f4."""
    count_kind: str | None = None
    """Type of the lengths of a list; None for a number."""


@dataclass
class Element:
    """An element of a header, such as `vertex`."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list[Property])


@dataclass(frozen=True)
class PlyHeader:
    """What a file announces."""

    kind: str
    """"ascii", or one of ORDERS."""
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    size: int
    """Size of the header in bytes."""

    def columns(self, element: str) -> list[str]:
        """Names of an element's properties; empty if there is no such element."""
        return [p.name for e in self.elements if e.name == element for p in e.properties]

    def count(self, element: str) -> int:
        """How many of an element there are."""
        return sum(e.count for e in self.elements if e.name == element)


@dataclass(frozen=True)
class Ply:
    """The contents of a file."""

    header: PlyHeader
    elements: dict[str, dict[str, Array | Lists]]

    def numbers(self, element: str) -> dict[str, Array]:
        """The columns of an element that are numbers, by name."""
        found = self.elements.get(element, {})
        return {
            name: values for name, values in found.items() if isinstance(values, np.ndarray)
        }


def read_ply(path: Path) -> Ply:
    """All elements. Raises InputError for files that cannot be read."""
    content = read_bytes(path, MAX_BYTES)
    header = parse_header(path, content)
    source = _Text if header.kind == "ascii" else _Binary
    stream = source(path, content, header)
    found: dict[str, dict[str, Array | Lists]] = {}
    # Casts of NaN and overflows are found by the checks of those who use the values.
    with np.errstate(all="ignore"):
        for element in header.elements:
            try:
                values = _read_element(stream, element)
            except (ValueError, OverflowError, MemoryError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"{path}: element `{element.name[:40]}` does not match the header "
                    f"({one_line(error)[:100]}): copy it again"
                ) from error
            found.setdefault(element.name, values)
    return Ply(header, found)


def read_vertices(path: Path) -> dict[str, Array]:
    """The vertex columns that are numbers, by name. Raises InputError as `read_ply` does."""
    return read_ply(path).numbers("vertex")


def read_header(path: Path) -> PlyHeader:
    """What a file announces. Raises InputError if it is not a PLY file."""
    return parse_header(path, read_head(path, MAX_HEADER_BYTES))


def parse_header(path: Path, content: bytes) -> PlyHeader:
    """The header at the beginning of a file's content. Raises InputError."""
    begin = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    end = content.find(b"end_header", 0, MAX_HEADER_BYTES)
    if not content[begin:].startswith(b"ply") or end < 0:
        raise InputError(f"{path}: is not a PLY file: no header from `ply` to `end_header`")
    stop = end + len(b"end_header")
    # Spaces may follow, then \n, \r\n or \r.
    rest = re.compile(rb"[ \t]*(\r\n|\n|\r|$)").match(content, stop)
    stop = stop if rest is None else rest.end()
    kind = ""
    elements: list[Element] = []
    comments: list[str] = []
    for line in re.split(r"[\r\n]+", content[begin:end].decode("utf-8", "replace"))[1:]:
        words = line.split()
        if not words:
            continue
        if words[0] in ("comment", "obj_info"):
            comments.append(line.strip()[len(words[0]) :].strip())
        elif words[0] == "format" and len(words) > 1:
            kind = words[1]
        elif words[0] == "element" and len(words) == 3:
            count = whole_number(str(path), f"the count of `{words[1][:40]}`", words[2], 0)
            elements.append(Element(words[1], count))
        elif words[0] == "property" and elements:
            elements[-1].properties.append(_property(path, line))
        else:
            raise InputError(f"{path}: the header says {line.strip()[:60]!r}: write it again")
    for element in elements:
        names = [prop.name for prop in element.properties]
        if len(set(names)) < len(names):
            raise InputError(f"{path}: `{element.name[:40]}` has two properties of one name")
    if kind not in ("ascii", *ORDERS) or not any(e.name == "vertex" for e in elements):
        raise InputError(f"{path}: its header has no format or no vertices: write it again")
    return PlyHeader(kind, tuple(elements), tuple(comments), stop)


def _property(path: Path, line: str) -> Property:
    words = line.split()
    if len(words) == 3 and words[1] in TYPES:
        return Property(words[2], TYPES[words[1]])
    if len(words) == 5 and words[1] == "list" and words[2] in TYPES and words[3] in TYPES:
        return Property(words[4], TYPES[words[3]], TYPES[words[2]])
    raise InputError(f"{path}: the header says {line.strip()[:60]!r}: write it again")


class _Source:
    """The values behind a header, in order."""

    def __init__(self, path: Path, content: bytes, header: PlyHeader):
        self.path, self.content, self.place = path, content, header.size
        self.order = ORDERS.get(header.kind, "")

    def table(self, element: Element) -> dict[str, Array | Lists]:
        """The columns of an element without lists."""
        raise NotImplementedError

    def uniform(self, element: Element) -> dict[str, Array | Lists] | None:
        """Like `table` for an element whose lists are all as long as the first; else None."""
        raise NotImplementedError

    def value(self, kind: str) -> Any:
        """The next number."""
        raise NotImplementedError

    def values(self, kind: str, count: int) -> Array:
        """The next numbers of one type."""
        raise NotImplementedError

    def truncated(self, element: Element) -> InputError:
        return InputError(
            f"{self.path}: has fewer than {element.count} elements `{element.name[:40]}`: it "
            "is truncated: copy it again"
        )


class _Text(_Source):
    def __init__(self, path: Path, content: bytes, header: PlyHeader):
        super().__init__(path, content, header)
        self.words = content[header.size :].split()
        self.place = 0

    def table(self, element: Element) -> dict[str, Array | Lists]:
        width = len(element.properties)
        numbers = self.values("f8", element.count * width).reshape(element.count, width)
        return {p.name: numbers[:, k].astype(p.kind) for k, p in enumerate(element.properties)}

    def uniform(self, element: Element) -> dict[str, Array | Lists] | None:
        return None

    def value(self, kind: str) -> Any:
        if self.place >= len(self.words):
            raise IndexError
        self.place += 1
        return float(self.words[self.place - 1])

    def values(self, kind: str, count: int) -> Array:
        if count > len(self.words) - self.place:
            raise IndexError
        self.place += count
        chosen = self.words[self.place - count : self.place]
        return np.fromiter(map(float, chosen), np.float64, count).astype(kind)


class _Binary(_Source):
    def table(self, element: Element) -> dict[str, Array | Lists]:
        kind = np.dtype([(p.name, self.order + p.kind) for p in element.properties])
        if element.count * kind.itemsize > len(self.content) - self.place:
            raise IndexError
        rows = np.frombuffer(self.content, kind, element.count, self.place)
        self.place += element.count * kind.itemsize
        return {p.name: rows[p.name].astype(p.kind) for p in element.properties}

    def uniform(self, element: Element) -> dict[str, Array | Lists] | None:
        start, lengths = self.place, list[int]()
        for prop in element.properties:
            size = 1 if prop.count_kind is None else int(self.value(prop.count_kind))
            lengths.append(size)
            self.values(prop.kind, size)
        end, self.place = self.place, start
        fields: list[Any] = []
        for k, (prop, size) in enumerate(zip(element.properties, lengths, strict=True)):
            if prop.count_kind is not None:
                fields.append((f"count {k}", self.order + prop.count_kind))
            fields.append((f"value {k}", self.order + prop.kind, (size,)))
        kind = np.dtype(fields)
        if element.count * (end - start) > len(self.content) - start:
            return None
        rows = np.frombuffer(self.content, kind, element.count, start)
        found: dict[str, Array | Lists] = {}
        for k, (prop, size) in enumerate(zip(element.properties, lengths, strict=True)):
            values = rows[f"value {k}"].astype(prop.kind).reshape(-1)
            if prop.count_kind is None:
                found[prop.name] = values
                continue
            counts = rows[f"count {k}"].astype(np.int64)
            if not bool((counts == size).all()):
                return None
            found[prop.name] = Lists(counts, values)
        self.place = start + element.count * kind.itemsize
        return found

    def value(self, kind: str) -> Any:
        return self.values(kind, 1)[0]

    def values(self, kind: str, count: int) -> Array:
        size = int(kind[1]) * count
        if count < 0 or size > len(self.content) - self.place:
            raise IndexError
        self.place += size
        return np.frombuffer(self.content, self.order + kind, count, self.place - size)


def _read_element(source: _Source, element: Element) -> dict[str, Array | Lists]:
    if not element.count or not element.properties:
        return {
            p.name: np.zeros(0, p.kind)
            if p.count_kind is None
            else Lists(np.zeros(0, np.int64), np.zeros(0, p.kind))
            for p in element.properties
        }
    try:
        if all(prop.count_kind is None for prop in element.properties):
            return source.table(element)
        found = source.uniform(element)
        return _row_by_row(source, element) if found is None else found
    except IndexError as error:
        raise source.truncated(element) from error


def _row_by_row(source: _Source, element: Element) -> dict[str, Array | Lists]:
    """An element whose lists have different lengths."""
    columns: list[list[Any]] = [[] for _ in element.properties]
    lengths: list[list[int]] = [[] for _ in element.properties]
    for _ in range(element.count):
        for k, prop in enumerate(element.properties):
            if prop.count_kind is None:
                columns[k].append(source.value(prop.kind))
                continue
            size = int(source.value(prop.count_kind))
            if size < 0:
                raise IndexError
            lengths[k].append(size)
            columns[k].append(source.values(prop.kind, size))
    found: dict[str, Array | Lists] = {}
    for prop, values, sizes in zip(element.properties, columns, lengths, strict=True):
        if prop.count_kind is None:
            found[prop.name] = np.array(values).astype(prop.kind)
        else:
            joined = np.concatenate(values).astype(prop.kind)
            found[prop.name] = Lists(np.array(sizes, np.int64), joined)
    return found


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

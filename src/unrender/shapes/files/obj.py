"""Wavefront OBJ files with their materials (MTL).

Read: v, with colors after the position if there are any; vt; f with any number of corners;
usemtl and mtllib; of materials, map_Kd if there is one and else Kd, and illum 0, which is a
constant color: the mesh is unlit. Lines, points, groups, smoothing and normals are ignored:
normals have a separate index, so that a vertex may have several.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import MAX_BYTES, read_text, replacing
from unrender.imaging.files import read_image, write_image
from unrender.shapes.files.contents import (
    MISSING,
    PARSE_ERRORS,
    Material,
    MeshContents,
    sibling_file,
    triangulate_fans,
)
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture, VertexColors


def read_obj(path: Path, colored: bool) -> MeshContents:
    """The file's triangles, in its order. Raises InputError if it cannot be read."""
    # Names may use any alphabet; bytes that are not text fail to parse as numbers later.
    text = read_text(path, MAX_BYTES).replace("\\\r\n", " ")
    text = text.replace("\\\n", " ")
    vertices: list[str] = []
    coordinates: list[str] = []
    faces: list[str] = []
    libraries: list[str] = []
    names: dict[str, int] = {}
    face_material: list[int] = []
    material = MISSING
    for line in text.splitlines():
        kind, _, rest = line.lstrip().replace("\t", " ").partition(" ")
        if kind == "v":
            vertices.append(rest)
        elif kind == "vt":
            coordinates.append(rest)
        elif kind == "f":
            # Negative indices are relative to the lines read so far.
            faces.append(
                _absolute_indices(path, rest, len(vertices), len(coordinates))
                if "-" in rest
                else rest
            )
            face_material.append(material)
        elif kind == "usemtl":
            material = names.setdefault(rest.strip(), len(names))
        elif kind == "mtllib":
            libraries.append(rest.strip())
    try:
        numbers = _table(path, "v", vertices, (3, 4, 6, 7))
        uv = _table(path, "vt", coordinates, (1, 2, 3))
        corners, counts = _corners(faces)
    except InputError:
        raise
    except PARSE_ERRORS as error:
        raise InputError(
            f"{path}: is not an OBJ file ({one_line(error)}): correct it"
        ) from error
    triangles = triangulate_fans(path, counts)
    owner = torch.tensor(face_material, dtype=torch.long).repeat_interleave(counts - 2)
    known = _materials(path, libraries, names) if colored and libraries else ()
    if uv.shape[1] == 1:
        uv = torch.cat([uv, torch.zeros_like(uv)], dim=1)
    return MeshContents(
        numbers[:, :3],
        corners[:, 0][triangles],
        vertex_colors=numbers[:, -3:] if numbers.shape[1] >= 6 and colored else None,
        materials=known,
        face_material=owner if known else None,
        uv=uv[:, :2] if len(uv) else None,
        faces_uv=corners[:, 1][triangles] if len(uv) else None,
    )


def _table(
    path: Path, kind: str, lines: list[str], widths: tuple[int, ...]
) -> Float[Tensor, "rows columns"]:
    """Lines of numbers as a table; all must have as many numbers as the first."""
    if not lines:
        return torch.zeros(0, 3, dtype=torch.float64)
    width = len(lines[0].split())
    words = " ".join(lines).split()
    if width not in widths or len(words) != width * len(lines):
        raise InputError(
            f"{path}: lines `{kind}` must all have {' or '.join(map(str, widths))} numbers, "
            f"as many as the first one, which has {width}: correct them"
        )
    numbers = np.fromiter(map(float, words), np.float64, len(words))
    return torch.from_numpy(numbers.reshape(len(lines), width))


def _corners(lines: list[str]) -> tuple[Int[Tensor, "corners 2"], Int[Tensor, "polygons"]]:
    """Vertex and uv rows of each corner, and the number of corners of each polygon."""
    words = " ".join(lines).split()
    counts = torch.tensor([len(line.split()) for line in lines], dtype=torch.long)
    if any("/" in word for word in words):
        # v, v/vt, v//vn or v/vt/vn: rows count from 1, so 0 can stand for a missing one.
        words = [word.replace("//", "/0/") + "/0" for word in words]
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
    path: Path, libraries: Iterable[str], names: dict[str, int]
) -> tuple[Material, ...]:
    """The materials that faces use, in the order of `names`."""
    written: dict[str, tuple[Path, dict[str, str]]] = {}
    for name in libraries:
        file = sibling_file(path, name)
        current: dict[str, str] = {}
        for line in read_text(file).splitlines():
            key, _, rest = line.strip().replace("\t", " ").partition(" ")
            if key == "newmtl":
                current = {}
                written[rest.strip()] = file, current
            else:
                current[key.lower()] = rest.split(" #")[0].strip()
    found: list[Material] = []
    for name in names:
        if name not in written:
            raise InputError(
                f"{path}: uses the material {name[:60]!r}, which {', '.join(libraries)[:80]} "
                "does not define: add it there, or read the geometry alone (colored=False)"
            )
        found.append(_material(name, *written[name]))
    return tuple(found)


def _material(name: str, file: Path, lines: dict[str, str]) -> Material:
    """One material from its lines in the MTL file."""
    image, unlit = lines.get("map_kd"), lines.get("illum") == "0"
    if image is not None:
        if image.startswith("-"):
            raise InputError(
                f"{file}: map_Kd of {name[:60]!r} has options ({image[:60]!r}), which are not "
                "supported: remove them"
            )
        return Material(
            torch.ones(3), read_image(sibling_file(file, image))[..., :3], unlit=unlit
        )
    try:
        color = torch.tensor([float(word) for word in lines.get("kd", "1 1 1").split()])
    except ValueError:
        color = torch.zeros(0)
    if color.shape != (3,) or not bool(((color >= 0) & (color <= 1)).all()):
        raise InputError(
            f"{file}: Kd of {name[:60]!r} is {lines['kd'][:60]!r}: give three numbers in [0, 1]"
        )
    return Material(color, unlit=unlit)


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

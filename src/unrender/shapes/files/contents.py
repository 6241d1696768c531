"""What a mesh file holds, before it is checked and becomes a `Mesh`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError

MISSING = -1
"""The row of what a face has not got."""

PARSE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RecursionError,
    NameError,
    RuntimeError,
)
"""What parsing a damaged file may raise."""

MAX_BYTES = 2 << 30
"""Larger files are refused before they are read."""


@dataclass(frozen=True)
class Material:
    """What the faces of one material look like: opaque, by its image where it has one."""

    color: Float[Tensor, "3"]
    image: Float[Tensor, "height width 3"] | None = None
    repeats: bool = True
    """Whether the image does so beyond [0, 1]."""


@dataclass(frozen=True)
class MeshContents:
    """Triangles as a file has them; rows may be out of range, and numbers not finite."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    normals: Float[Tensor, "vertices 3"] | None = None
    vertex_colors: Float[Tensor, "vertices 3"] | None = None
    face_colors: Float[Tensor, "faces 3"] | None = None
    materials: tuple[Material, ...] = ()
    face_material: Int[Tensor, "faces"] | None = None
    """The row of the face's material, or NONE."""
    uv: Float[Tensor, "coordinates 2"] | None = None
    faces_uv: Int[Tensor, "faces 3"] | None = None
    """Rows of `uv`, or NONE."""
    split_vertices: bool = False
    """Whether the format has one index for all, so that vertices are split at seams: those at
    one place, of one colour, are one."""


def read_bytes(path: Path) -> bytes:
    """The file's bytes, at most MAX_BYTES. InputError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: is larger than {MAX_BYTES >> 30} GiB: use fewer faces")
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): check the path"
        ) from error


def sibling_file(path: Path, name: str) -> Path:
    """A file that `path` names, in its own folder or below. InputError if there is none."""
    folder = path.parent.resolve()
    # Names are written on all systems; one that holds a null byte is none.
    found = (folder / name.replace("\\", "/").replace("\0", " ")).resolve()
    if not found.is_relative_to(folder):
        raise InputError(
            f"{path}: names {name[:80]!r}, which is outside of its folder: put it beside"
        )
    try:
        there = found.is_file()
    except OSError:
        there = False
    if not there:
        raise InputError(
            f"{path}: names {name[:80]!r}, which is missing: put it beside, or read the "
            "geometry alone (colored=False)"
        )
    return found


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def triangulate_fans(path: Path, corners: Int[Tensor, "polygons"]) -> Int[Tensor, "faces 3"]:
    """Polygons as triangles around their first corner: right for convex ones.

    Of how many corners each polygon has, to rows of all corners, one polygon after the other.
    """
    if bool((corners < 3).any()):
        raise InputError(
            f"{path}: a face has {int(corners.min())} corners: give each three or more"
        )
    triangles = corners - 2
    start = (corners.cumsum(0) - corners).repeat_interleave(triangles)
    before = (triangles.cumsum(0) - triangles).repeat_interleave(triangles)
    here = torch.arange(len(start)) - before
    return torch.stack([start, start + here + 1, start + here + 2], dim=1)

"""The contents of a mesh file, before they are checked and become a `Mesh`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError

MISSING = -1
"""Row index for what a face does not have."""

UNLIT = "KHR_materials_unlit"
"""The glTF extension of materials whose colors are shown without shading."""

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
"""Errors that parsing a damaged file may raise."""


@dataclass(frozen=True)
class Material:
    """The appearance of faces: the image if there is one, else the color; always opaque."""

    color: Float[Tensor, "3"]
    image: Float[Tensor, "height width 3"] | None = None
    repeats: bool = True
    """Whether the image repeats beyond [0, 1]."""
    unlit: bool = False
    """Whether its colors are shown without shading."""


@dataclass(frozen=True)
class MeshContents:
    """Triangles as stored in a file; rows may be out of range, and numbers NaN or Inf."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    normals: Float[Tensor, "vertices 3"] | None = None
    vertex_colors: Float[Tensor, "vertices 3"] | None = None
    face_colors: Float[Tensor, "faces 3"] | None = None
    materials: tuple[Material, ...] = ()
    face_material: Int[Tensor, "faces"] | None = None
    """Each face's row in `materials`, or MISSING."""
    uv: Float[Tensor, "coordinates 2"] | None = None
    faces_uv: Int[Tensor, "faces 3"] | None = None
    """Rows of `uv`, or MISSING."""
    split_vertices: bool = False
    """Whether the format has a single index per corner, so that vertices are duplicated at
    seams; duplicates with equal position and color are merged."""


def sibling_file(path: Path, name: str) -> Path:
    """The path of a file that `path` refers to by name, in its folder or below.

    Raises InputError if there is no such file.
    """
    folder = path.parent.resolve()
    # The name may come from Windows; a null byte is not allowed in a path.
    found = (folder / name.replace("\\", "/").replace("\0", " ")).resolve()
    if not found.is_relative_to(folder):
        raise InputError(
            f"{path}: names {name[:80]!r}, which is outside of its folder: move it there"
        )
    try:
        there = found.is_file()
    except OSError:
        there = False
    if not there:
        raise InputError(
            f"{path}: names {name[:80]!r}, which is missing: put it there, or read the "
            "geometry alone (colored=False)"
        )
    return found


def triangulate_fans(path: Path, corners: Int[Tensor, "polygons"]) -> Int[Tensor, "faces 3"]:
    """Triangulate polygons as fans around their first corner; correct for convex polygons.

    Takes the number of corners of each polygon. Returns rows into the corners of all polygons,
    concatenated. Raises InputError for polygons of fewer than three corners.
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

"""The contents of a mesh file, before they are checked and become a `Mesh`."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.notes import note

MISSING = -1
"""Row index for what a face does not have."""

UNLIT = "KHR_materials_unlit"
"""The glTF extension of materials whose colors are shown without shading."""

MAX_COORDINATE = 1e15
"""Larger coordinates are treated as damage."""
NEAR_ONE = 1.01
"""Float colors up to here are 1, but for rounding."""

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

Wrap = Literal["repeat", "mirror", "clamp"]
"""What an image does beyond [0, 1]."""


@dataclass(frozen=True)
class Material:
    """The appearance of faces: the image if there is one, else the color; always opaque."""

    color: Float[Tensor, "3"]
    image: Float[Tensor, "height width 3"] | None = None
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """Beyond the image, along u and v."""
    unlit: bool = False
    """Whether its colors are shown without shading."""
    uv_transform: Float[Tensor, "2 3"] | None = None
    """Takes (u, v, 1), v up, to the coordinates at which the image is read."""


@dataclass(frozen=True)
class MeshContents:
    """What is in a file; rows may be out of range, and numbers NaN or Inf."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    normals: Float[Tensor, "vertices 3"] | None = None
    vertex_colors: Float[Tensor, "vertices 3"] | None = None
    """Display-referred. With images, the factor by which these are multiplied in linear light.
    """
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
    """The path of a file that `path` refers to by name, as another program wrote it.

    It may be in the folder of `path`, below it, or below the folder above it (as the images of
    ShapeNet are), with backslashes, in quotes, or in other capitals. If there is no such file,
    one of the same name beside `path` is taken, with a note. Raises InputError if there is
    none, and for what is farther away.
    """
    folder = Path(os.path.abspath(path.parent))
    # A null byte is not allowed in a path.
    plain = name.strip().strip("\"'").replace("\\", "/").replace("\0", " ")
    last = PurePosixPath(plain).name
    # Links lead where the user put them: the name is what is checked.
    wanted = Path(os.path.normpath(folder / plain))
    above = folder.parent
    # Below the root of the file system is everything.
    top = folder if above == above.parent else above
    inside = wanted.is_relative_to(top)
    found = _file(wanted) if inside and last else None
    if found is None and last not in ("", "..", plain):
        found = _file(folder / last)
        if found is not None:
            note(f"{path}: names {name[:60]!r}, and {last[:60]} beside it was read instead")
    if found is not None:
        return found
    if not inside:
        raise InputError(
            f"{path}: names {name[:80]!r}, which is outside of the folder "
            f"{top.name}: move it there"
        )
    raise InputError(f"{path}: names {name[:80]!r}, which is missing: put it there")


def _file(path: Path) -> Path | None:
    """The file of this name, or the only one whose name differs in capitals alone."""
    try:
        if path.is_file():
            return path
        names = [entry for entry in path.parent.iterdir() if _same(entry.name, path.name)]
        return names[0] if len(names) == 1 and names[0].is_file() else None
    except OSError:
        return None


def _same(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


def unit_colors(
    path: Path, what: str, values: Float[Tensor, "rows 3"]
) -> Float[Tensor, "rows 3"] | None:
    """Colors in [0, 1], from that range, from 0 to 255 or to 65535; None if they are neither.

    What is adjusted is noted.
    """
    if not len(values):
        return values
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= NEAR_ONE:
        return values.clamp_max(1)
    if not bool(values.isfinite().all()) or low < -(NEAR_ONE - 1) or high > 65535:
        note(f"{path}: has {what} from {low:g} to {high:g}: they are not read")
        return None
    whole = bool((values == values.round()).all())
    if high > 255 or whole or high > 2:
        top = 255 if high <= 255 else 65535
        note(f"{path}: has {what} up to {high:g}: they are taken as 0 to {top}")
        return (values / top).clamp(0, 1)
    note(f"{path}: has {what} up to {high:g}: those above 1 are cut off")
    return values.clamp(0, 1)

"""A shape from its file, whatever it holds: triangles, points or voxels."""

import re
import zipfile
from pathlib import Path
from typing import Literal

from unrender.errors import InputError
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.files.meshes import READERS, WRITTEN, read_mesh, write_mesh
from unrender.shapes.files.points import ENDINGS, read_points, write_points
from unrender.shapes.files.voxels import read_voxels, write_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid

Up = Literal["auto", "y", "z"]
"""The axis that points up in a mesh' file; `auto` as `unrender.shapes.files.meshes` says."""
MAX_HEADER_BYTES = 1 << 16
READABLE = tuple(sorted({*READERS, *ENDINGS, ".binvox"}))
WRITABLE: dict[type[Shape], tuple[str, ...]] = {
    Mesh: WRITTEN,
    PointCloud: ENDINGS,
    VoxelGrid: (".npz", ".binvox"),
}
"""The formats of each kind of shape."""


def load_shape(path: Path, up: Up = "auto") -> Shape:
    """What the file's ending says; a .ply without faces is points. InputError.

    An .npz holds the voxels or the points that this library writes.
    """
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise InputError(f"{path}: is no shape's file: give one of {', '.join(READABLE)}")
    if not path.is_file():
        raise InputError(f"{path}: not found: check the path")
    if suffix == ".binvox" or (suffix == ".npz" and _holds_voxels(path)):
        return read_voxels(path)
    if suffix in ENDINGS and not (suffix == ".ply" and _has_faces(path)):
        return read_points(path)
    return read_mesh(path, None if up == "auto" else up)


def save_shape(path: Path, shape: Shape) -> None:
    """Write the shape in the format of the ending, whole or not at all. InputError.

    Of voxels, the formats of meshes hold the surface.
    """
    suffix = path.suffix.lower()
    if isinstance(shape, VoxelGrid) and suffix in WRITTEN:
        shape = mesh_from_voxels(shape)
    if suffix not in WRITABLE[type(shape)]:
        what = {Mesh: "a mesh", PointCloud: "points", VoxelGrid: "voxels"}[type(shape)]
        raise InputError(
            f"{path}: {what} cannot be written so: end it in {', '.join(WRITABLE[type(shape)])}"
        )
    if isinstance(shape, Mesh) and len(shape.faces) == 0:
        raise InputError(f"{path}: the shape has no surface to be written: fit or train longer")
    if isinstance(shape, Mesh):
        write_mesh(path, shape)
    elif isinstance(shape, PointCloud):
        write_points(path, shape)
    else:
        write_voxels(path, shape)


def _has_faces(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(MAX_HEADER_BYTES).split(b"end_header")[0]
    found = re.search(rb"^element\s+face\s+(\d+)", header, re.MULTILINE)
    return found is not None and int(found[1]) > 0


def _holds_voxels(path: Path) -> bool:
    """Whether an .npz has voxels' arrays; readers say what is wrong with a damaged one."""
    return zipfile.is_zipfile(path) and "values.npy" in zipfile.ZipFile(path).namelist()

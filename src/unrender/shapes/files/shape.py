"""Loading and saving shapes of any kind: meshes, point clouds and voxel grids.

`load_shape` and `save_shape` choose the format by the file's ending; `Mesh`, `PointCloud` and
`VoxelGrid` have `load` and `save` methods that use them.
"""

from pathlib import Path
from typing import Literal, TypeVar

from unrender.errors import InputError
from unrender.files import check_file, system_errors_told
from unrender.files.arrays import array_names
from unrender.notes import note
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.files.meshes import (
    MESH_READERS,
    WRITABLE_MESH_SUFFIXES,
    read_mesh,
    write_mesh,
)
from unrender.shapes.files.ply import read_header
from unrender.shapes.files.points import (
    POINT_SUFFIXES,
    READABLE_POINT_SUFFIXES,
    read_points,
    write_points,
)
from unrender.shapes.files.splats import COMPRESSED, SPLAT, is_splats, read_splats
from unrender.shapes.files.voxels import read_voxels, write_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid

Up = Literal["auto", "y", "z"]
"""The up axis of a mesh file; for `auto`, see `unrender.shapes.files.meshes`."""
READABLE = tuple(sorted({*MESH_READERS, *READABLE_POINT_SUFFIXES, ".binvox", SPLAT}))
"""The endings that `load_shape` reads."""
KNOWN = (*READABLE, *COMPRESSED)
"""Also those that it refuses with a remedy."""
WRITABLE: dict[type[Shape], tuple[str, ...]] = {
    Mesh: WRITABLE_MESH_SUFFIXES,
    PointCloud: POINT_SUFFIXES,
    VoxelGrid: (".npz", ".binvox"),
}
"""The endings that `save_shape` writes, for each kind of shape."""
KIND_NAMES: dict[type[Shape], str] = {
    Mesh: "a mesh",
    PointCloud: "a point cloud",
    VoxelGrid: "a voxel grid",
}

AnyShape = TypeVar("AnyShape", Mesh, PointCloud, VoxelGrid)


@system_errors_told()
def load_shape(path: str | Path, up: Up = "auto", colored: bool = True) -> Shape:
    """Load the mesh, point cloud or voxel grid in a file, chosen by the file's ending.

    A .ply file without faces is a point cloud, as are the centers of Gaussians; an .npz file
    holds a voxel grid or a point cloud as written by `save_shape`. `up` applies to meshes only.
    If `colored` is False, colors are
    not read, and materials and images may be missing. Raises InputError for a file that is
    missing, damaged or of an unknown format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        is_splats(path)  # Raises an error that names the remedy.
    if suffix not in READABLE:
        raise InputError(f"{path}: is not a shape file: give one of {', '.join(READABLE)}")
    check_file(path)
    if suffix in (".ply", SPLAT) and is_splats(path):
        note(f"{path}: holds Gaussians: only their centers are taken, as points")
        cloud = read_splats(path).points()
        return cloud if colored else PointCloud(cloud.points)
    if suffix == ".binvox" or (suffix == ".npz" and "values" in array_names(path)):
        return read_voxels(path)
    if suffix in READABLE_POINT_SUFFIXES and not (suffix == ".ply" and _has_faces(path)):
        return read_points(path, colored)
    return read_mesh(path, None if up == "auto" else up, colored)


def load_shape_as(kind: type[AnyShape], path: str | Path, up: Up = "auto") -> AnyShape:
    """Load a shape that must be of the given kind, as `Mesh.load` and its like do.

    Raises InputError as `load_shape` does, and for a file that holds another kind of shape.
    """
    shape = load_shape(path, up)
    if not isinstance(shape, kind):
        raise InputError(
            f"{path}: holds {KIND_NAMES[type(shape)]}, not {KIND_NAMES[kind]}: load it with "
            f"{type(shape).__name__}.load"
        )
    return shape


def save_shape(path: str | Path, shape: Shape) -> None:
    """Save a shape in the format that the path's ending names, completely or not at all.

    A voxel grid saved in a mesh format is converted to its surface. Raises InputError for an
    ending that cannot hold the shape, and for an empty shape.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if isinstance(shape, VoxelGrid) and suffix in WRITABLE_MESH_SUFFIXES:
        shape = mesh_from_voxels(shape)
    if suffix not in WRITABLE[type(shape)]:
        raise InputError(
            f"{path}: {KIND_NAMES[type(shape)]} cannot be saved in this format: end the name "
            f"in {', '.join(WRITABLE[type(shape)])}"
        )
    if isinstance(shape, Mesh) and len(shape.faces) == 0:
        raise InputError(f"{path}: the shape has no surface to save: fit or train longer")
    if isinstance(shape, Mesh):
        write_mesh(path, shape)
    elif isinstance(shape, PointCloud):
        write_points(path, shape)
    else:
        write_voxels(path, shape)


def _has_faces(path: Path) -> bool:
    """Whether the header of a .ply file declares any faces."""
    header = read_header(path)
    return header.count("face") > 0 or header.count("tristrips") > 0

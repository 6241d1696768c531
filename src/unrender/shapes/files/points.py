"""Point cloud files: PLY, NPZ and XYZ.

PLY: columns x y z, red green blue and nx ny nz by name; faces are ignored. NPZ: `points` [n,
3], and optionally `colors` and `normals`, as floats; the array of a file with only one may have
any name. XYZ: see `xyz`. Axes are not rotated. A file without points is rejected.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.files import replacing
from unrender.files.arrays import (
    Array,
    Header,
    array_names,
    check_numbers,
    read_arrays,
    write_arrays,
)
from unrender.imaging.files import to_bytes
from unrender.notes import note
from unrender.shapes.files.contents import MAX_COORDINATE, unit_colors
from unrender.shapes.files.ply import read_vertices, write_ply
from unrender.shapes.files.ply_mesh import ply_colors, stacked
from unrender.shapes.files.xyz import TEXT_SUFFIXES, read_xyz
from unrender.shapes.points import PointCloud

POINT_SUFFIXES = (".ply", ".npz", ".xyz")
"""The endings that are written."""
READABLE_POINT_SUFFIXES = (*POINT_SUFFIXES, *TEXT_SUFFIXES)


def read_points(path: str | Path, colored: bool = True) -> PointCloud:
    """Read a point cloud, in single precision; without its colors if `colored` is False.

    Raises InputError, with a one-line message, for a file that cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READABLE_POINT_SUFFIXES:
        raise InputError(
            f"{path}: is not a point cloud file: convert it to {', '.join(POINT_SUFFIXES)}"
        )
    # Values that are NaN, Inf or too large for single precision are rejected below.
    with np.errstate(invalid="ignore", over="ignore"):
        cloud = {".ply": _from_ply, ".npz": _from_npz}.get(suffix, read_xyz)(path)
    if len(cloud) == 0:
        raise InputError(f"{path}: has no points: it is empty")
    points = cloud.points.float()
    for row in (~(points.abs() <= MAX_COORDINATE).all(1)).nonzero()[:1, 0].tolist():
        why = "is too far" if bool(points[row].isfinite().all()) else "is not finite"
        raise InputError(f"{path}: point {row} {why}: correct it")
    colors, normals = cloud.colors if colored else None, cloud.normals
    if colors is not None:
        colors = unit_colors(path, "colors", colors)
    if normals is not None:
        if not bool(normals.isfinite().all()):
            note(f"{path}: has normals that are not finite: they are not read")
            normals = None
        else:
            normals = torch.nn.functional.normalize(normals.double(), dim=1).float()
    check_numbers(str(path), "correct them", points=points, normals=normals)
    return PointCloud(points, None if colors is None else colors.float(), normals)


def write_points(path: str | Path, cloud: PointCloud) -> None:
    """Write a point cloud, completely or not at all.

    Colors are stored as bytes in .ply; .xyz has none. Raises InputError for an empty cloud and
    for colors in .xyz.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POINT_SUFFIXES:
        raise InputError(
            f"{path}: unknown point cloud format: end it in {', '.join(POINT_SUFFIXES)}"
        )
    if len(cloud) == 0:
        raise InputError(f"{path}: the cloud has no points: there is nothing to write")
    cloud = cloud.map(lambda values: values.detach().cpu().float())
    if suffix == ".ply":
        columns = _columns(("x", "y", "z"), cloud.points)
        if cloud.normals is not None:
            columns |= _columns(("nx", "ny", "nz"), cloud.normals)
        if cloud.colors is not None:
            columns |= _columns(("red", "green", "blue"), to_bytes(cloud.colors))
        write_ply(path, columns)
    elif suffix == ".npz":
        named = {name: values for name, values in vars(cloud).items() if values is not None}
        write_arrays(path, {name: values.numpy() for name, values in named.items()})
    else:
        if cloud.colors is not None:
            raise InputError(f"{path}: .xyz cannot hold colors: write .ply or .npz")
        parts = [cloud.points] if cloud.normals is None else [cloud.points, cloud.normals]
        rows = torch.cat(parts, dim=1).tolist()
        with replacing(path) as temporary:
            temporary.write_text(
                "".join(" ".join(f"{x:.9g}" for x in row) + "\n" for row in rows)
            )


def _columns(names: tuple[str, ...], values: Tensor) -> dict[str, Array]:
    return {name: values[:, k].numpy() for k, name in enumerate(names)}


def _from_ply(path: Path) -> PointCloud:
    found = read_vertices(path)
    points = stacked(found, ("x", "y", "z"))
    if points is None:
        raise InputError(f"{path}: has no columns x, y and z: it has no points")
    return PointCloud(points, ply_colors(found), stacked(found, ("nx", "ny", "nz")))


def _from_npz(path: Path) -> PointCloud:
    names = array_names(path)
    first = names[0] if len(names) == 1 else "points"
    arrays = read_arrays(path, (first,), _check_headers, ("colors", "normals"))
    count = len(arrays[first])
    for name, values in arrays.items():
        if len(values) != count:
            raise InputError(f"{path}: has {len(values)} `{name}` for {count} points")
    found = {name: torch.from_numpy(v.astype(np.float32)) for name, v in arrays.items()}
    colors = found.get("colors")
    if colors is not None and arrays["colors"].dtype.kind == "u":
        colors = colors / float(np.iinfo(arrays["colors"].dtype).max)
    return PointCloud(found[first], colors, found.get("normals"))


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    for name, (shape, dtype) in headers.items():
        if len(shape) != 2 or shape[1] != 3 or (name == "colors" and dtype.kind not in "fu"):
            raise InputError(
                f"{path}: `{name}` is {dtype} of shape {shape}: it must be floats, n x 3"
            )

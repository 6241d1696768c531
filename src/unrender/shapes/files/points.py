"""Point cloud files: PLY, NPZ and XYZ.

PLY: columns x y z, red green blue and nx ny nz by name; faces are ignored. NPZ: `points` [n,
3], and optionally `colors` and `normals`, as floats; the array of a file with only one may have
any name. XYZ: text with three numbers per line, or six if normals follow positions. Axes are
not rotated. A file without points is rejected.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import MAX_BYTES, read_text, replacing
from unrender.files.arrays import (
    Array,
    Header,
    array_names,
    check_numbers,
    read_arrays,
    write_arrays,
)
from unrender.imaging.files import to_bytes
from unrender.shapes.files.ply import read_ply, write_ply
from unrender.shapes.points import PointCloud

POINT_SUFFIXES = (".ply", ".npz", ".xyz")


def read_points(path: str | Path) -> PointCloud:
    """Read a point cloud, in single precision.

    Raises InputError, with a one-line message, for a file that cannot be read.
    """
    path = Path(path)
    readers = {".ply": _from_ply, ".npz": _from_npz, ".xyz": _from_xyz}
    if path.suffix.lower() not in readers:
        raise InputError(
            f"{path}: is not a point cloud file: convert it to {', '.join(POINT_SUFFIXES)}"
        )
    # Values that are NaN, Inf or too large for single precision are rejected below.
    with np.errstate(invalid="ignore", over="ignore"):
        cloud = readers[path.suffix.lower()](path)
    if len(cloud) == 0:
        raise InputError(f"{path}: has no points: it is empty")
    for row in (~cloud.points.isfinite().all(1)).nonzero()[:1, 0].tolist():
        raise InputError(f"{path}: point {row} is not finite: correct it")
    colors, normals = cloud.colors, cloud.normals
    if colors is not None and not bool(((colors >= 0) & (colors <= 1)).all()):
        raise InputError(f"{path}: has colors outside of [0, 1]: correct them")
    if normals is not None:
        if not bool(normals.isfinite().all()):
            raise InputError(f"{path}: has normals that are not finite: correct them")
        normals = torch.nn.functional.normalize(normals, dim=1)
    check_numbers(str(path), "correct them", points=cloud.points, normals=normals)
    return PointCloud(cloud.points, colors, normals)


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
    found = read_ply(path)

    def three(*names: str) -> Float[Tensor, "points 3"] | None:
        if not all(name in found for name in names):
            return None
        columns = [found[name] for name in names]
        scale = 1.0
        if names[0] == "red" and columns[0].dtype.kind != "f":
            scale = float(np.iinfo(columns[0].dtype).max)
        return torch.from_numpy(np.stack(columns, axis=1).astype(np.float64) / scale).float()

    points = three("x", "y", "z")
    if points is None:
        raise InputError(f"{path}: has no columns x, y and z: it has no points")
    return PointCloud(points, three("red", "green", "blue"), three("nx", "ny", "nz"))


def _from_npz(path: Path) -> PointCloud:
    names = array_names(path)
    first = names[0] if len(names) == 1 else "points"
    arrays = read_arrays(path, (first,), _check_headers, ("colors", "normals"))
    count = len(arrays[first])
    for name, values in arrays.items():
        if len(values) != count:
            raise InputError(f"{path}: has {len(values)} `{name}` for {count} points")
    found = {name: torch.from_numpy(v.astype(np.float32)) for name, v in arrays.items()}
    return PointCloud(found[first], found.get("colors"), found.get("normals"))


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    for name, (shape, dtype) in headers.items():
        if len(shape) != 2 or shape[1] != 3 or (name == "colors" and dtype.kind != "f"):
            raise InputError(
                f"{path}: `{name}` is {dtype} of shape {shape}: it must be floats, n x 3"
            )


def _from_xyz(path: Path) -> PointCloud:
    lines = [line for line in read_text(path, MAX_BYTES).splitlines() if line.strip()]
    width = len(lines[0].split()) if lines else 3
    words = " ".join(lines).split()
    try:
        numbers = np.fromiter(map(float, words), np.float64, len(words))
        table = torch.from_numpy(numbers.reshape(len(lines), width)).float()
    except ValueError as error:
        raise InputError(
            f"{path}: is not a table of numbers ({' '.join(str(error).split())[:120]}): "
            "correct it"
        ) from error
    if width not in (3, 6):
        raise InputError(f"{path}: has {width} numbers a line: give 3, or 6 with normals")
    return PointCloud(table[:, :3], None, table[:, 3:] if width == 6 else None)

"""Points as text: .xyz, .xyzn (normals), .xyzrgb (colors) and .pts (counts before the points).

A line has three numbers, and behind them normals, colors or both. Without a header line that
names its columns, three numbers behind the position are normals if some are negative or all
are of length 1, and colors if they are from 0 to 1 or whole numbers to 255. Numbers are
separated by spaces, commas, semicolons or tabs; lines that begin with # or // are passed over.
"""

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import MAX_BYTES, read_text
from unrender.notes import note
from unrender.shapes.points import PointCloud

TEXT_SUFFIXES = (".xyzn", ".xyzrgb", ".pts")
NAMES = {
    "red": "r",
    "green": "g",
    "blue": "b",
    "rf": "r",
    "gf": "g",
    "bf": "b",
    "normal_x": "nx",
    "normal_y": "ny",
    "normal_z": "nz",
}
"""Other names of columns."""
UNIT = 0.01
"""How far the length of a normal may be from 1."""

Table = Float[Tensor, "points columns"]


def read_xyz(path: Path) -> PointCloud:
    """The points of a text file, with colors as they are in it. Raises InputError."""
    header, lines = _lines(path)
    if lines and re.fullmatch(r"\d{1,15}", lines[0].strip()):
        # The number of points, as in .pts files.
        lines = lines[1:]
    if not lines:
        return PointCloud(torch.zeros(0, 3, dtype=torch.float64))
    _check_commas(path, lines[0])
    if any(mark in lines[0] for mark in ",;"):
        lines = [line.replace(",", " ").replace(";", " ") for line in lines]
    if re.match(r"\s*[A-Za-z_]{1,10}(\s|$)", lines[0]) and lines[0].split()[0].lower() != "nan":
        header, lines = lines[0].lower().split(), lines[1:]
    width = len(lines[0].split()) if lines else 3
    words = " ".join(lines).split()
    try:
        numbers = np.fromiter(map(float, words), np.float64, len(words))
        table = torch.from_numpy(numbers.reshape(len(lines), width))
    except ValueError as error:
        raise InputError(
            f"{path}: is not a table of numbers ({one_line(error)[:120]}): correct it"
        ) from error
    if width < 3:
        raise InputError(f"{path}: has {width} numbers a line: give at least 3")
    names = [NAMES.get(name, name) for name in header]
    if len(names) == width and {"x", "y", "z"} <= set(names):
        return _named(table, names)
    return _by_order(path, table)


def _lines(path: Path) -> tuple[list[str], list[str]]:
    """The words of a comment that names columns, and the lines that are none."""
    header: list[str] = []
    lines: list[str] = []
    for line in read_text(path, MAX_BYTES).removeprefix("\ufeff").splitlines():
        plain = line.strip()
        if plain.startswith(("#", "//")):
            words = plain.lstrip("#/ ").lower().replace(",", " ").split()
            header = words if words[:3] == ["x", "y", "z"] else header
        elif plain:
            lines.append(plain.partition("#")[0])
    return header, lines


def _check_commas(path: Path, line: str) -> None:
    """Raise InputError for decimal commas: between other separators each number has one."""
    words = re.split(r"[;\s]+", line.strip("; \t"))
    if len(words) >= 3 and all(re.fullmatch(r"[-+]?\d+,\d+", word) for word in words):
        raise InputError(
            f"{path}: has the number {words[0][:40]!r}: write a decimal point, not a comma"
        )


def _named(table: Table, names: list[str]) -> PointCloud:
    def three(*wanted: str) -> Float[Tensor, "points 3"] | None:
        if not set(wanted) <= set(names):
            return None
        return table[:, [names.index(name) for name in wanted]]

    points = three("x", "y", "z")
    assert points is not None, "there are positions"
    return PointCloud(points, three("r", "g", "b"), three("nx", "ny", "nz"))


def _by_order(path: Path, table: Table) -> PointCloud:  # noqa: PLR0911 - a table of cases
    """Columns by their number and values."""
    points, more = table[:, :3], table[:, 3:]
    suffix, width = path.suffix.lower(), table.shape[1]
    if suffix == ".pts" and width in (4, 7, 10):
        # The intensity is before the color.
        more = more[:, 1:]
    if more.shape[1] == 0:
        return PointCloud(points)
    if suffix == ".xyzn" and more.shape[1] == 3:
        return PointCloud(points, None, more)
    if suffix == ".xyzrgb" and more.shape[1] == 3:
        return PointCloud(points, more)
    if more.shape[1] in (3, 4):
        if _are_normals(more[:, :3]) and more.shape[1] == 3:
            return PointCloud(points, None, more)
        if _are_colors(more[:, :3]):
            return PointCloud(points, more[:, :3])
    if more.shape[1] == 6:
        first, second = more[:, :3], more[:, 3:]
        if _are_normals(second) and _are_colors(first):
            return PointCloud(points, first, second)
        if _are_normals(first) and _are_colors(second):
            return PointCloud(points, second, first)
    if more.shape[1] in (1, 2):
        note(f"{path}: has {width} numbers a line: those behind the position are not read")
        return PointCloud(points)
    raise InputError(
        f"{path}: has {width} numbers a line that are neither normals nor colors: name the "
        "columns in a first line, such as x y z r g b"
    )


def _are_normals(values: Float[Tensor, "points 3"]) -> bool:
    length = values.norm(dim=1)
    unit = ((length - 1).abs() < UNIT) | (length == 0)
    return bool((values < 0).any()) or (bool(unit.all()) and bool((length > 0).any()))


def _are_colors(values: Float[Tensor, "points 3"]) -> bool:
    whole = bool((values == values.round()).all())
    return bool((values >= 0).all()) and float(values.max()) <= (255 if whole else 1)

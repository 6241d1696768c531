"""Voxel grid files: .npz, and the .binvox format of Min's voxelizer.

.npz: `values` [x, y, z]; `low` [3], the box's lowest corner; `cell`, the side of a cell.

.binvox (https://www.patrickmin.com/binvox/binvox.html): a header, then run-length encoded
values: pairs of bytes, a value of 0 or 1 and the number of cells that have it. There are d³
cells; y varies fastest, then z, then x. The box is a cube of side `scale` whose lowest corner
is `translate`.
"""

import math
from itertools import count
from pathlib import Path

import numpy as np
import torch

from unrender.errors import InputError
from unrender.files import read_bytes, replacing
from unrender.files.arrays import Array, Header, check_numbers, read_arrays, write_arrays
from unrender.shapes.voxels import VoxelGrid

MAX_SIDE = 512
"""Maximum number of cells along each side of a cube."""
MAX_CELLS = MAX_SIDE**3
MAX_PLACE = 1e12
"""Larger coordinates have no cells of sane size in single precision."""
MAX_HEADER_BYTES = 1 << 16
MAX_LINES = 100


def read_voxels(path: str | Path) -> VoxelGrid:
    """Read a .npz or .binvox file. Raises InputError if it cannot be read."""
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    if path.suffix.lower() == ".binvox":
        return _read_binvox(path)
    raise InputError(f"{path}: voxels are read from .npz and .binvox: change the ending")


def write_voxels(path: str | Path, grid: VoxelGrid, level: float = 0.5) -> None:
    """Write a .npz file of all values, or a .binvox file of the cells above the level.

    The file is written completely or not at all. Raises InputError for other endings, and for a
    .binvox file of a grid that is not a cube.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        arrays: dict[str, Array] = {
            "values": grid.values.detach().cpu().numpy(),
            "low": np.array(grid.low, np.float64),
            "cell": np.array(grid.cell, np.float64),
        }
        write_arrays(path, arrays, compress=True)
    elif path.suffix.lower() == ".binvox":
        _write_binvox(path, grid, level)
    else:
        raise InputError(f"{path}: voxels are written as .npz or .binvox: change the ending")


@np.errstate(over="ignore", invalid="ignore")  # What overflows is refused later.
def _read_npz(path: Path) -> VoxelGrid:
    arrays = read_arrays(path, ("values", "low", "cell"), _check_headers)
    values = torch.from_numpy(arrays["values"].astype(np.float32, copy=False))
    x, y, z = arrays["low"].astype(np.float64).tolist()
    cell = float(arrays["cell"])
    _check_place(path, (x, y, z), cell)
    if not bool(values.isfinite().all()):
        raise InputError(f"{path}: `values` contains NaN or Inf: make it again")
    check_numbers(str(path), "make it again", values=values)
    return VoxelGrid(values, (x, y, z), cell)


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    shape, _ = headers["values"]
    if len(shape) != 3 or not 0 < math.prod(shape) <= MAX_CELLS:
        raise InputError(
            f"{path}: `values` is of shape {shape}: it must be x, y, z, at most {MAX_CELLS:,}"
        )
    for name, expected in (("low", (3,)), ("cell", ())):
        if headers[name][0] != expected:
            raise InputError(f"{path}: `{name}` is of shape {headers[name][0]}, not {expected}")


def _check_place(path: Path, low: tuple[float, ...], cell: float) -> None:
    if not (all(abs(x) < MAX_PLACE for x in low) and 1 / MAX_PLACE < cell < MAX_PLACE):
        raise InputError(
            f"{path}: has cells of side {cell} from {low}: give a finite corner and "
            f"a positive side, below {MAX_PLACE:g}"
        )


def _read_binvox(path: Path) -> VoxelGrid:
    content = read_bytes(path, MAX_HEADER_BYTES + 2 * MAX_CELLS, f"use up to {MAX_SIDE}³ cells")
    if not content.startswith(b"#binvox"):
        raise InputError(f"{path}: does not begin with `#binvox`: it is not a .binvox file")
    fields = {"dim": [0.0], "translate": [0.0, 0.0, 0.0], "scale": [1.0]}
    end = 0
    for number in count():
        start, end = end, content.find(b"\n", end, MAX_HEADER_BYTES) + 1
        if end == 0 or number > MAX_LINES:
            raise InputError(f"{path}: its header has no line `data`: copy it again")
        line = content[start:end].split(b"#")[0].decode("ascii", "replace")
        name, *words = line.split() or [""]
        if name == "data":
            break
        if name in fields:
            fields[name] = _numbers(path, name, words, 1 if name == "scale" else 3)
        elif name:
            raise InputError(f"{path}: the header says {name[:40]!r}: write it again")
    side, *others = fields["dim"]
    if not (1 <= side <= MAX_SIDE and side == int(side) and others == [side] * 2):
        raise InputError(f"{path}: has {fields['dim']} cells: it must be a cube of 1 to 512³")
    size = int(side)
    x, y, z = fields["translate"]
    _check_place(path, (x, y, z), fields["scale"][0] / size)
    filled = _decode_runs(path, np.frombuffer(content, np.uint8, offset=end), size**3)
    values = torch.from_numpy(filled).view(size, size, size).transpose(1, 2)
    return VoxelGrid(values.float().contiguous(), (x, y, z), fields["scale"][0] / size)


def _numbers(path: Path, name: str, words: list[str], expected: int) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != expected or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"{path}: `{name}` is {' '.join(words)[:60]!r}, not {expected} numbers"
        )
    return numbers


def _decode_runs(path: Path, runs: Array, cells: int) -> Array:
    """The cells of all runs; their total is checked before memory is allocated."""
    values, lengths = runs[: len(runs) // 2 * 2].reshape(-1, 2).T
    total = int(lengths.sum(dtype=np.int64))
    if len(runs) % 2 or total != cells:
        raise InputError(
            f"{path}: has {total} of {cells} cells: it is damaged or truncated: copy it again"
        )
    if values.size and values.max() > 1:
        raise InputError(f"{path}: has a cell of value {values.max()}: values must be 0 or 1")
    return np.repeat(values, lengths)


def _write_binvox(path: Path, grid: VoxelGrid, level: float) -> None:
    size, *others = grid.values.shape
    if others != [size] * 2:
        raise InputError(
            f"{path}: .binvox holds cubes, not {tuple(grid.values.shape)} cells: write .npz"
        )
    filled = grid.filled(level).cpu().transpose(1, 2).flatten().numpy().astype(np.uint8)
    starts = np.flatnonzero(np.diff(filled, prepend=2))
    lengths = np.diff(starts, append=filled.size)
    # A run has at most 255 cells: longer ones are split.
    parts = -(-lengths // 255)
    runs = np.full((int(parts.sum()), 2), 255, np.uint8)
    runs[:, 0] = np.repeat(filled[starts], parts)
    runs[parts.cumsum() - 1, 1] = lengths - 255 * (parts - 1)
    x, y, z = grid.low
    header = (
        f"#binvox 1\ndim {size} {size} {size}\ntranslate {x!r} {y!r} {z!r}\n"
        f"scale {grid.cell * size!r}\ndata\n"
    )
    with replacing(path) as temporary:
        temporary.write_bytes(header.encode() + runs.tobytes())

"""Reading and writing of .npz, .npy and .safetensors files.

Sizes are checked before memory is allocated, and nothing is unpickled.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from unrender.errors import InputError, one_line
from unrender.files import LARGEST, check_file, replacing, shown
from unrender.files.memory import check_memory
from unrender.files.quiet import quiet

Array = np.ndarray[Any, np.dtype[Any]]
Header = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and data type of an array."""
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""Exceptions that numpy raises for damaged files, whose headers are Python literals."""
READING_ERRORS = (*DAMAGED, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Exceptions that zipfile and numpy raise for damaged, encrypted or unknown archives."""


def check_numbers(label: str, remedy: str, **named: Any) -> None:
    """InputError if an array or tensor (None is skipped) holds NaN, infinity or beyond 1e15.

    For what a loader returns, after the last conversion: numbers that are finite in double
    precision may be infinite in single.
    """
    for name, values in named.items():
        if values is None:
            continue
        array = np.asarray(values)
        if array.dtype.kind != "f" or not array.size:
            continue
        worst = max(abs(float(array.max())), abs(float(array.min())))
        if not math.isfinite(worst):
            raise InputError(f"{label}: has {name} that are NaN or infinite: {remedy}")
        if worst > LARGEST:
            raise InputError(
                f"{label}: has {name} up to {worst:.3g}, more than single precision can "
                f"compute with: {remedy}"
            )


def write_arrays(path: Path, arrays: dict[str, Array], compress: bool = False) -> None:
    """Write named arrays as an .npz file, atomically. InputError on failure."""
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as stream:
        save(stream, allow_pickle=False, **arrays)


def read_npy(path: Path) -> Array:
    """Read a .npy file, in native byte order.

    InputError if it is damaged or does not contain numbers.
    """
    check_file(path)
    try:
        with quiet(), path.open("rb") as stream:
            _header(str(path), stream, path.stat().st_size)
            stream.seek(0)
            return _native(np.lib.format.read_array(stream, allow_pickle=False))
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as .npy ({one_line(error)[:120]}); copy it again"
        ) from error


def array_names(path: Path) -> list[str]:
    """Names of the arrays in an .npz file, in their order. InputError if it is not one."""
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_arrays(
    path: Path,
    names: tuple[str, ...],
    check: Callable[[Path, dict[str, Header]], None] | None = None,
    optional: tuple[str, ...] = (),
) -> dict[str, Array]:
    """Read numeric arrays of an .npz file by name, in native byte order.

    Before anything is allocated, every header is compared with the sizes in the archive, and
    all headers are passed to `check`, which raises InputError if they are invalid. InputError
    also for a missing array; those that are `optional` may be missing.
    """
    with _archive(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        headers: dict[str, Header] = {}
        for name in (*names, *(each for each in optional if f"{each}.npy" in members)):
            info = members.get(f"{name}.npy")
            if info is None:
                raise InputError(
                    f"{path}: has no array `{name}`; it has {shown(sorted(members))}"
                )
            with archive.open(info) as stream:
                headers[name] = _header(f"{path}: `{name}`", stream, info.file_size)
        if check is not None:
            check(path, headers)
        arrays: dict[str, Array] = {}
        for name in headers:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = _native(np.lib.format.read_array(stream, allow_pickle=False))
        return arrays


def _native(array: Array) -> Array:
    """The array as this machine and torch hold numbers, in its byte order and C order."""
    kind = array.dtype.newbyteorder("=")
    if kind.itemsize > 8:  # Extended precision, which torch lacks.
        kind = np.dtype(np.float64)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, kind).reshape(array.shape)


@contextmanager
def _archive(path: Path) -> Generator[zipfile.ZipFile]:
    """Open an .npz file. InputError if it is missing, or if reading from it fails."""
    check_file(path)
    try:
        with quiet(), zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except READING_ERRORS as error:
        raise InputError(
            f"{path}: cannot be read as .npz ({one_line(error)[:120]}); "
            "it may be truncated: make or copy it again"
        ) from error


def _header(label: str, stream: Any, file_size: int) -> Header:
    """Read an array's header. InputError if the array does not fill `file_size` bytes."""
    if np.lib.format.read_magic(stream) == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    held = file_size - stream.tell()
    if dtype.kind not in "fiu":
        raise InputError(f"{label}: is of type {dtype}; it must hold numbers")
    size = math.prod(shape) * dtype.itemsize
    if size != held:
        raise InputError(
            f"{label}: claims {size} bytes but the file contains {held}; the file is damaged: "
            "make or copy it again"
        )
    check_memory(label, size, "reduce its size")
    return shape, dtype


def read_tensors(path: Path, remedy: str) -> dict[str, Any]:
    """Tensors by name from a .safetensors file. InputError, which ends with `remedy`."""
    check_file(path, remedy)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: cannot be read as .safetensors ({one_line(error)[:120]}); {remedy}"
        ) from error

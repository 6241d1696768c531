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
from unrender.files import check_file, replacing

Array = np.ndarray[Any, np.dtype[Any]]
Header = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and data type of an array."""
MAX_BYTES = 16 * 2**30
"""Maximum size in memory of an array or a set of images."""
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


def write_arrays(path: Path, arrays: dict[str, Array], compress: bool = False) -> None:
    """Write named arrays as an .npz file, atomically. InputError on failure."""
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as stream:
        save(stream, allow_pickle=False, **arrays)


def read_npy(path: Path) -> Array:
    """Read a .npy file. InputError if it is damaged or does not contain numbers."""
    try:
        with path.open("rb") as stream:
            _header(str(path), stream, path.stat().st_size)
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as .npy ({one_line(error)}); copy it again"
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
    """Read numeric arrays of an .npz file by name.

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
                    f"{path}: has no array `{name}`; it has {sorted(members)}"[:300]
                )
            with archive.open(info) as stream:
                headers[name] = _header(f"{path}: `{name}`", stream, info.file_size)
        if check is not None:
            check(path, headers)
        arrays: dict[str, Array] = {}
        for name in headers:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
        return arrays


@contextmanager
def _archive(path: Path) -> Generator[zipfile.ZipFile]:
    """Open an .npz file. InputError if it is missing, or if reading from it fails."""
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    except READING_ERRORS as error:
        raise InputError(
            f"{path}: cannot be read as .npz ({one_line(error)}); "
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
    if size > MAX_BYTES:
        raise InputError(f"{label}: takes {size / 2**30:.1f} GiB; reduce its size")
    return shape, dtype


def read_tensors(path: Path, remedy: str) -> dict[str, Any]:
    """Tensors by name from a .safetensors file. InputError, which ends with `remedy`."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be read as .safetensors ({reason}); {remedy}"
        ) from error

"""Atomic writing of files, and reading of JSON, .npy and .npz with clear errors.

Files are untrusted: sizes are checked before memory is allocated, and nothing is unpickled. A
file gets its final name only when it is complete.
"""

import json
import math
import os
import secrets
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from unrender.errors import InputError, one_line

Array = np.ndarray[Any, np.dtype[Any]]
Header = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and data type of an array."""
MAX_JSON_BYTES = 10_000_000
MAX_BYTES = 16 * 2**30
"""Maximum size in memory of an array or a set of images."""
LARGEST = 1e30
"""Larger magnitudes are treated as damage, and may be infinite in single precision."""
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


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path that is renamed to `path` when the block succeeds.

    So `path` is never half-written, and an existing file survives a failure. InputError if the
    system refuses to write or rename the file.
    """
    name = f".{path.stem[:100]}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    temporary = path.with_name(name)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or one_line(error)}); "
            "check that its folder exists and is writable"
        ) from error
    finally:
        _remove(temporary)


@contextmanager
def folder_in_place(path: Path) -> Generator[Path]:
    """Yield a temporary folder that is renamed to `path` when the block succeeds.

    The folder is removed after a failure. InputError if the system refuses to write it.
    """
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or one_line(error)}): choose another "
            "place or free space"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a file, ignoring errors."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely, or leave an existing one unchanged. InputError on failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): choose another place or free space"
        ) from error


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON, atomically. InputError on failure."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object. InputError, which ends with `remedy`, if that fails."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes is too large: {remedy}")
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: not found: {remedy}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is not valid JSON ({reason}): {remedy}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: contains a {type(content).__name__}, not an object: {remedy}"
        )
    return content


def number(label: str, what: str, value: Any) -> float:
    """`value` as a float. InputError, naming `label` and `what`, if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{label}: {what} is {shown(value)}, not a number; correct it")
    try:
        return float(value)
    except OverflowError as error:
        # An integer in JSON may be larger than any float.
        raise InputError(f"{label}: {what} is too large; correct it") from error


def finite_number(label: str, what: str, value: Any) -> float:
    """`value` as a float. InputError if it is not a finite number."""
    found = number(label, what, value)
    if not -LARGEST < found < LARGEST:
        raise InputError(f"{label}: {what} is {found}; it must be finite")
    return found


def matrix_4x4(label: str, what: str, value: Any) -> list[list[float]]:
    """`value` as a 4×4 matrix of numbers, maybe not finite. InputError if it is not one."""
    rows = cast(list[Any], value) if isinstance(value, list) else []
    if len(rows) != 4 or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise InputError(f"{label}: {what} is not 4x4; give four rows of four")
    return [[number(label, f"an entry of {what}", entry) for entry in row] for row in rows]


def shown(value: Any) -> str:
    """Text for a value of any type, truncated to at most 60 characters."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def read_npy(path: Path) -> Array:
    """Read a .npy file. InputError if it is damaged or does not contain numbers."""
    try:
        with path.open("rb") as stream:
            if np.lib.format.read_magic(stream) == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            held = path.stat().st_size - stream.tell()
            if dtype.kind not in "fiu":
                raise InputError(f"{path}: is of type {dtype}; it must hold numbers")
            if math.prod(shape) * dtype.itemsize != held:
                raise InputError(
                    f"{path}: claims {math.prod(shape) * dtype.itemsize} bytes but contains "
                    f"{held}; it is damaged: copy it again"
                )
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as .npy ({' '.join(str(error).split())}); copy it again"
        ) from error


def write_arrays(path: Path, arrays: dict[str, Array], compress: bool = False) -> None:
    """Write named arrays as an .npz file, atomically. InputError on failure."""
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as stream:
        save(stream, allow_pickle=False, **arrays)


def read_arrays(
    path: Path,
    names: tuple[str, ...],
    check: Callable[[Path, dict[str, Header]], None],
    optional: tuple[str, ...] = (),
) -> dict[str, Array]:
    """Read numeric arrays of an .npz file by name.

    Before anything is allocated, every header is compared with the sizes in the archive, and
    all headers are passed to `check`, which raises InputError if they are invalid.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            present = [name for name in optional if f"{name}.npy" in members]
            headers = {
                name: _header(path, archive, members, name) for name in (*names, *present)
            }
            check(path, headers)
            arrays: dict[str, Array] = {}
            for name in headers:
                with archive.open(f"{name}.npy") as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
            return arrays
    except InputError:
        raise
    except READING_ERRORS as error:
        raise InputError(
            f"{path}: cannot be read as .npz ({' '.join(str(error).split())}); "
            "it may be truncated: make or copy it again"
        ) from error


def _header(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str
) -> Header:
    info = members.get(f"{name}.npy")
    if info is None:
        raise InputError(f"{path}: has no array `{name}`; it has {sorted(members)}"[:300])
    with archive.open(info) as stream:
        if np.lib.format.read_magic(stream) == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        start = stream.tell()
    if dtype.kind not in "fiu":
        raise InputError(f"{path}: `{name}` is of type {dtype}; it must hold numbers")
    size = math.prod(shape) * dtype.itemsize
    if start + size != info.file_size:
        raise InputError(
            f"{path}: `{name}` claims {size} bytes but the archive contains "
            f"{info.file_size - start}; the file is damaged: make or copy it again"
        )
    if size > MAX_BYTES:
        raise InputError(f"{path}: `{name}` takes {size / 2**30:.1f} GiB; reduce its size")
    return shape, dtype

"""Atomic writing, reading with limits, and checks of paths; for arrays, see `files.arrays`.

Files are untrusted: sizes are checked before memory is allocated, nothing is unpickled, and a
file that cannot be read raises InputError, which names the file and the remedy. A file or
folder gets its final name only when it is complete.
"""

import json
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from unrender.errors import InputError, one_line
from unrender.files.targets import check_name, check_plain
from unrender.files.targets import check_new as check_new
from unrender.files.targets import check_new_folder as check_new_folder
from unrender.files.targets import check_target as check_target
from unrender.files.targets import ending as ending
from unrender.files.temporaries import (
    discard,
    remove_abandoned,
    sync,
    sync_folder,
    temporary_path,
)
from unrender.files.temporaries import remove_folder as remove_folder

Json = dict[str, Any]
MAX_TEXT_BYTES = 100_000_000
"""Maximum size of a text file, such as a list of cameras or a log."""
MAX_BYTES = 2 * 2**30
"""Maximum size of a binary file that is read whole, such as a mesh."""
LARGEST = 1e15
"""Larger magnitudes are treated as damage: products of them overflow in single precision."""
MAX_WHOLE = 2**63 - 1
MAX_DIGITS = 40


@contextmanager
def replacing(path: Path, folder: bool = False) -> Generator[Path]:
    """Yield a temporary path that is renamed to `path` when the block succeeds.

    So `path` is never half-written, and an existing file survives a failure. What is written is
    on the disk before it takes its name. With `folder`, the temporary path is a new folder;
    otherwise nothing is there yet. InputError if the system refuses to write or rename.
    """
    check_name(path)
    remove_abandoned(path.parent)
    temporary = temporary_path(path)
    try:
        if folder:
            temporary.mkdir(parents=True)
        else:
            check_plain(path)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or one_line(error)}); "
            "check that its folder exists, is writable and has space"
        ) from error
    finally:
        discard(temporary)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely, or leave an existing one unchanged. InputError on failure."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON, atomically. InputError on failure."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def make_folder(path: Path) -> None:
    """A folder with those above it; one that is there already stays as it is. InputError."""
    check_name(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be made ({error.strerror}): choose another folder"
        ) from error


@contextmanager
def system_errors_told() -> Generator[None]:
    """Raise InputError for what the system refuses to open or list within the block.

    For a loader as a whole (also as its decorator): names that are too long, files and folders
    that may not be read, disks that fail.
    """
    try:
        yield
    except OSError as error:
        name = "a file" if error.filename is None else os.fsdecode(error.filename)
        why = error.strerror or one_line(error)
        raise InputError(
            f"{name}: cannot be read ({why}); check its name and its permissions"
        ) from error


def check_file(path: Path, remedy: str = "check the path") -> None:
    """InputError, which ends with `remedy`, if there is no such file, or if it is none.

    A pipe, a socket or a device is none: reading it may wait for ever, or never end.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder, not a file; {remedy}")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a pipe or a device, not a file; {remedy}")


def check_exists(path: Path) -> None:
    """InputError if there is neither a file nor a folder of this name."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES, remedy: str = "check the path") -> bytes:
    """A whole file. InputError, which ends with `remedy`, if it is missing or too large."""
    check_file(path, remedy)
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > max_bytes:
                raise InputError(f"{path}: is larger than {max_bytes:,} bytes; {remedy}")
            return stream.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error


def read_head(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, or all of it. InputError if it cannot be read."""
    check_file(path)
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """A whole text file in UTF-8, with U+FFFD for invalid bytes. InputError as `read_bytes`."""
    return read_bytes(path, max_bytes).decode("utf-8", "replace")


def read_json_object(path: Path, remedy: str = "make or copy it again") -> Json:
    """The JSON object in a file. InputError, which ends with `remedy`, if that fails."""
    return json_object(str(path), read_bytes(path, MAX_TEXT_BYTES, remedy), remedy)


def json_object(label: str, content: str | bytes, remedy: str) -> Json:
    """The JSON object in a text. InputError, from `label` to `remedy`, if it is not one."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{label}: is not valid JSON ({one_line(error)}); {remedy}") from error
    if not isinstance(found, dict):
        raise InputError(f"{label}: contains a {type(found).__name__}, not an object; {remedy}")
    return cast(Json, found)


def number(label: str, what: str, value: Any) -> float:
    """`value` as a float. InputError, naming `label` and `what`, if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{label}: {what} is {shown(value)}, not a number; correct it")
    try:
        return float(value)
    except OverflowError as error:
        # An integer in JSON may be larger than any float.
        raise InputError(f"{label}: {what} is too large; correct it") from error


def whole_number(
    label: str, what: str, text: Any, least: int = -MAX_WHOLE, most: int = MAX_WHOLE
) -> int:
    """A whole number from text, or from a number. InputError unless it is within the limits.

    Neither NaN and infinity nor thousands of digits get to `int`, which fails for them.
    """
    found: int | None = None
    if isinstance(text, int) and not isinstance(text, bool):
        found = text
    elif isinstance(text, float) and text.is_integer():
        found = int(text)
    elif isinstance(text, str) and len(text) <= MAX_DIGITS and text.isascii():
        with suppress(ValueError):
            found = int(text)
    if found is None:
        raise InputError(f"{label}: {what} is {shown(text)}, not a whole number; correct it")
    if not least <= found <= most:
        raise InputError(
            f"{label}: {what} is {shown(found)}; it must be from {least} to {most}; correct it"
        )
    return found


def finite_number(label: str, what: str, value: Any) -> float:
    """`value` as a float. InputError if it is not a finite number below `LARGEST`."""
    found = number(label, what, value)
    if not -LARGEST < found < LARGEST:
        raise InputError(f"{label}: {what} is {found}; it must be finite, below {LARGEST:g}")
    return found


def pose_matrix(label: str, what: str, value: Any) -> list[list[float]]:
    """`value` as a 4×4 matrix of numbers, maybe not finite; 3×4 gets the row 0 0 0 1.

    Raises InputError if it is neither.
    """
    rows = cast(list[Any], value) if isinstance(value, list) else []
    if len(rows) not in (3, 4) or not all(isinstance(r, list) and len(r) == 4 for r in rows):
        raise InputError(f"{label}: {what} is not 4x4 or 3x4; give four rows of four")
    found = [[number(label, f"an entry of {what}", entry) for entry in row] for row in rows]
    return found if len(found) == 4 else [*found, [0.0, 0.0, 0.0, 1.0]]


def shown(value: Any) -> str:
    """Text for a value of any type, truncated to at most 60 characters."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return "a number of more than 40 digits"  # Python refuses to write the longest.
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

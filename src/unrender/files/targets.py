"""Names of files and folders to write, checked before the work is done and not after."""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from unrender.errors import InputError
from unrender.files.temporaries import remove_abandoned

ENDING = re.compile(r"\.[a-z][a-z0-9]{0,5}")
"""What the ending of a file looks like; that of a folder such as `frames_v1.2` does not."""


def ending(path: Path) -> str:
    """The ending in lower case, such as ".mp4"; none for a folder's name, as `frames_v1.2`."""
    found = path.suffix.lower()
    return found if ENDING.fullmatch(found) and not path.is_dir() else ""


def check_name(path: Path) -> None:
    """InputError if the system cannot have a file or folder of this name."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                f"{str(path)[:60]}…: a name of {len(str(path))} characters is too long for "
                "this system: choose a shorter one"
            ) from error
    except ValueError as error:
        raise InputError(f"{str(path)!r:.80}: is not a name for a file; correct it") from error


def check_plain(path: Path) -> None:
    """InputError if there is something of this name that is not a plain file."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is a device or pipe, not a plain file; choose another name")


def check_new(path: Path, remedy: str = "choose another name, or delete it") -> None:
    """InputError, which ends with `remedy`, if the file or folder exists."""
    check_name(path)
    if os.path.lexists(path):
        raise InputError(f"{path}: exists already: {remedy}")
    remove_abandoned(path.parent)


def check_new_folder(path: Path) -> None:
    """InputError for a folder that cannot be made or written into."""
    check_name(path)
    nearest = path
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(
            f"{path}: cannot be made, since {nearest} is not a writable folder: choose another "
            "place"
        )
    remove_abandoned(path.parent)


def check_target(path: Path, endings: Sequence[str] = ()) -> None:
    """InputError for a file that cannot be written, or does not end in one of `endings`."""
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"{path}: does not end in {' or '.join(endings)}: change the ending")
    check_name(path)
    check_plain(path)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path}: cannot be written, since {path.parent} is not a writable folder: make "
            "it, or choose another place"
        )
    remove_abandoned(path.parent)

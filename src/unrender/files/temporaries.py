"""Temporary files and folders: their names, and removal of those that a killed process left.

A temporary stands beside the file or folder that it becomes: .NAME.PROCESS-HOST RANDOM.ENDING,
with HOST and RANDOM as 8 digits each. HOST is a hash of the machine and, on Linux, of the
container, in whose terms PROCESS counts.
"""

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

NAMED = re.compile(r"\..*\.(\d{1,10})-([0-9a-f]{8})([0-9a-f]{8})?(\.\w{1,16})?", re.DOTALL)
"""Names of temporaries: those of versions that recorded no host have 8 digits at the end."""
DAY = 24 * 3600.0
"""Age in seconds after which a temporary is removed whose process cannot be looked up."""
MAX_STEM = 60
"""Characters of the final name that a temporary repeats."""
_in_use: set[tuple[int, str]] = set()
"""Process and name of the temporaries that are being written here."""
_swept: set[tuple[int, str]] = set()
"""Process and path of the folders in which it removed old temporaries already."""


def temporary_path(path: Path) -> Path:
    """An absolute path beside `path` for what becomes `path`, with the same ending.

    Its name is ASCII without colons, which external programs take for a protocol.
    """
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)[:MAX_STEM]
    ending = path.suffix if re.fullmatch(r"\.\w{1,16}", path.suffix, re.ASCII) else ""
    mark = f"{os.getpid()}-{host_mark()}{secrets.token_hex(4)}"
    name = f".{stem}.{mark}{ending}"
    _in_use.add((os.getpid(), name))
    return path.parent.absolute() / name


def discard(path: Path) -> None:
    """Remove a temporary file or folder, which may not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    _in_use.discard((os.getpid(), path.name))


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is never seen in part under its own name."""
    aside = temporary_path(path)
    with suppress(OSError):
        os.replace(path, aside)
    discard(aside)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporaries in a folder that killed processes left; once in each process.

    One whose process cannot be looked up, such as that of another machine, stays for a day.
    """
    key = (os.getpid(), str(folder.absolute()))
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError):
        for entry in os.scandir(folder):
            match = NAMED.fullmatch(entry.name)
            if match and _is_abandoned(entry, int(match[1]), match[2] if match[3] else None):
                discard(Path(entry.path))


def _is_abandoned(entry: "os.DirEntry[str]", process: int, host: str | None) -> bool:
    if host == host_mark():
        if process == os.getpid():
            return (process, entry.name) not in _in_use
        if not is_running(process):
            return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY


def is_running(process: int) -> bool:
    """Whether a process of this number runs on this machine; True where that is unknown."""
    if os.name == "nt":  # There, signal 0 would end the process.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # There is no /proc, or the process ended just now.
        return True
    return state not in ("Z", "X")  # Ended, but not yet noticed by its parent.


@cache
def host_mark() -> str:
    """Eight digits for the machine, and on Linux for the container, that processes run in."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that it holds, is on the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            sync(entry)
        sync_folder(path)
        return
    # Windows syncs only files that are open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

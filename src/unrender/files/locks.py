"""Locks of folders that are being written, which end with their process, however it ends."""

import errno
import json
import os
import platform
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from unrender.errors import InputError
from unrender.files.temporaries import is_running

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        # Beyond what is read, since Windows keeps others from reading what is locked.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


LOCK = ".lock"
"""The file in the folder, which says in JSON who writes there; it is gone at the end."""
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What the system says of a lock that another process holds."""


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Keep other processes from writing into a folder. InputError if one is doing so.

    A process that was killed holds no lock.
    """
    path = folder / LOCK
    descriptor = _acquired(folder)
    try:
        about = {
            "process": os.getpid(),
            "host": platform.node(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # A full disk does not end a fit here.
            os.write(descriptor, json.dumps(about).encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        if sys.platform == "win32":  # There, a file that is open cannot be removed.
            with suppress(OSError):
                path.unlink()


def _acquired(folder: Path) -> int:
    """The descriptor of the lock file, which is locked and empty. InputError."""
    path = folder / LOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}): copy it to a place that is "
                "writable"
            ) from error
        try:
            _lock(descriptor, folder)
            # The process that held it before may have removed the file in between.
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    os.ftruncate(descriptor, 0)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    """InputError if another process holds the lock."""
    try:
        _try_lock(descriptor)
    except OSError as error:
        about = _read(folder / LOCK)
        process = about.get("process")
        # Some network file systems have no locks: there, this machine's processes are known.
        here = about.get("host") == platform.node() and isinstance(process, int)
        if error.errno not in HELD and not (here and is_running(int(str(process)))):
            return
        who = f"process {process} on {about.get('host')} since {about.get('since')}"
        raise InputError(
            f"{folder}: is being written by {who if about else 'another process'}: wait until "
            "it ends, or stop it"
        ) from error


def _read(path: Path) -> dict[str, object]:
    """What a lock file says; nothing while it is being written."""
    try:
        found = json.loads(path.read_bytes()[:1000])
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

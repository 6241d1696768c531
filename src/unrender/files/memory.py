"""How much memory there is, and a check of it before much is taken."""

import os
import sys
from pathlib import Path

from unrender.errors import InputError

SHARE = 0.75
"""Share of the free memory that data may take: what is computed with them needs the rest."""
UNKNOWN = 16 * 2**30
"""Free memory where the system does not tell."""
CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that this process can still allocate: of the machine, its container and limits."""
    found = [_free_on_machine(), *_free_in_cgroups(), _free_under_limit()]
    return min((size for size in found if size is not None), default=UNKNOWN)


def check_memory(label: str, size: int, remedy: str) -> None:
    """Raise InputError, which ends with `remedy`, if `size` bytes are more than there are."""
    free = free_memory()
    if size > SHARE * free:
        raise InputError(
            f"{label}: takes {_gib(size)} GiB of memory, more than three quarters of the "
            f"{_gib(free)} GiB that are free; {remedy}"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}" if size < 1000 * 2**30 else f"{size / 2**30:.0f}"


def _free_on_machine() -> int | None:
    if sys.platform == "win32":
        return _free_on_windows()
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        # All of the memory: macOS gives what is used by files back when it is needed.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _free_on_windows() -> int | None:
    import ctypes  # noqa: PLC0415 - only here

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("free", ctypes.c_ulonglong),
            *((f"other_{k}", ctypes.c_ulonglong) for k in range(5)),
        )

    status = Status(length=ctypes.sizeof(Status))
    library = getattr(ctypes, "windll", None)
    if library is None or not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)


def _free_in_cgroups() -> list[int]:
    """What the limits of control groups leave: of this process's groups and those above."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, limit, used = CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = (
                CGROUPS / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        group = root / place.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            left = left_in_cgroup(folder, limit, used)
            if left is not None:
                found.append(left)
    return found


def left_in_cgroup(folder: Path, limit: str, used: str) -> int | None:
    """What a group may still allocate; pages of files are given back when they are needed."""
    try:
        most, now = int((folder / limit).read_text()), int((folder / used).read_text())
        files = 0
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "active_file"):
                files += int(value)
    except (OSError, ValueError):
        return None  # There is no limit ("max"), or no such group.
    return max(0, most - now + files)


def _free_under_limit() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource  # noqa: PLC0415 - not on Windows

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(0, most - pages * os.sysconf("SC_PAGE_SIZE"))
    except (ImportError, OSError, ValueError, IndexError):
        return None

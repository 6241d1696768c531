"""Settings for processes that run kernels for a long time, and their peak memory."""

import ctypes
import platform
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

import torch

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
BYTES = 1 << 30


def prepare_process() -> None:
    """Flush denormals and keep freed memory. Call it before the first large computation.

    Torch's threads inherit the flushing of denormals when they start, at the first large
    operation.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()


@contextmanager
def flushed_denormals() -> Generator[None]:
    """Flush denormal numbers to zero in the calling thread.

    The running averages of an optimizer become denormal where gradients have vanished, and
    processors take about a hundred times as long for denormal numbers.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for later allocations; returns whether that succeeded.

    By default it returns every large array to the system, which zeroes its pages again on the
    next use: half of the time of a small network's layers. Allocators of other systems have no
    such setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = [libc.mallopt(option, BYTES) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)]
    return all(settings)


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process in MB; None if the system does not report it."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if platform.system() == "Darwin" else 1e3 / 1.024), 1)

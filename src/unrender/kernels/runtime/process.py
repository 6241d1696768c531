"""What a process that runs kernels for long should set, and what memory it took."""

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
    """What a program sets that is made for long computations, before the first of them.

    Torch's threads inherit the flushing of denormals when they start, with the first large
    operation.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()


@contextmanager
def flushed_denormals() -> Generator[None]:
    """Numbers below normal floats are zero in the calling thread.

    Means that an optimiser keeps of gradients that have ceased pass through them, and a
    processor takes a hundred times as long for each.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def keep_freed_memory() -> bool:
    """Ask glibc to keep freed arrays for the next ones; returns whether it could be asked.

    By default it hands every large array back to the system, which zeroes its pages again on
    the next use: half of the time of a small network's layers. Other systems' allocators have
    no such setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = [libc.mallopt(option, BYTES) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)]
    return all(settings)


def peak_memory_mb() -> float | None:
    """Most memory this process ever held, in MB; None on systems that do not tell."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if platform.system() == "Darwin" else 1e3 / 1.024), 1)

"""Time and memory of a call."""

import ctypes
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch


def synchronize(device: str) -> None:
    """Wait until the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def fastest(run: Callable[[], object], device: str, seconds: float) -> float:
    """Minimum time of a call, over at least three calls and as many as fit into `seconds`."""
    run()
    synchronize(device)
    best, calls, began = math.inf, 0, time.perf_counter()
    while calls < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        synchronize(device)
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best


def in_turn(
    runs: Sequence[Callable[[], object]], device: str, seconds: float, least: int = 3
) -> list[list[float]]:
    """Times of each call, measured in turn, for at least `least` rounds."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    began = time.perf_counter()
    while len(times[0]) < least or time.perf_counter() - began < seconds:
        for run, own in zip(runs, times, strict=True):
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            own.append(time.perf_counter() - start)
    return times


def seconds_of(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def peak_mb(run: Callable[[], object], device: str) -> float | None:
    """Additional peak memory of a call in MB; None if it cannot be measured."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None
    # Return freed memory to the system first: otherwise it would be reused unnoticed.
    ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")
    before = status_mb(status, "VmRSS")
    run()
    return status_mb(status, "VmHWM") - before


def status_mb(status: Path, key: str) -> float:
    """One of the sizes in a process's status file (Linux), in MB; 0 once it has ended."""
    lines = status.read_text().splitlines()
    return next((int(line.split()[1]) * 1.024e-3 for line in lines if key in line), 0.0)

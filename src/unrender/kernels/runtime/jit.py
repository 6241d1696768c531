"""Numba compilation for the CPU kernels, and the thread pool that they run on.

Kernels are compiled without the global interpreter lock and run on a pool of Python threads,
each on its own part of the work. A call costs a few microseconds of overhead, needs neither
OpenMP nor TBB, and compiles several times faster than Numba's own parallel loops.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from itertools import count, pairwise
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch
from numba.core.caching import FunctionCache
from numba.core.event import Event, Listener, register

from unrender.files.streams import stderr
from unrender.notes import note

PACKAGE = __name__.split(".", maxsplit=1)[0]

Kernel = Callable[..., Any]
Array = np.ndarray[Any, np.dtype[Any]]
Job = TypeVar("Job")
Result = TypeVar("Result")


class _CompilationNotice(Listener):
    """Reports on stderr, once per module, that Numba compiles: the first call takes seconds."""

    def __init__(self) -> None:
        self.announced: set[str] = set()
        self.kept = True

    def on_start(self, event: Event) -> None:
        assert event.data is not None
        module = event.data["dispatcher"].py_func.__module__
        if module.startswith(f"{PACKAGE}.") and module not in self.announced:
            if not self.kept and not self.announced:
                self.say_not_kept("no cache folder can be written")
            self.announced.add(module)
            name = module.removeprefix(f"{PACKAGE}.")
            kept = " (kept for later runs)" if self.kept else ""
            stderr().write(f"Compiling {name} for this processor{kept}\n")

    def on_end(self, event: Event) -> None:
        pass

    def say_not_kept(self, reason: str) -> None:
        note(
            f"compiled kernels are not kept for later runs: {reason}; set NUMBA_CACHE_DIR to a "
            "folder that can be written"
        )


_NOTICE = _CompilationNotice()
register("numba:compile", _NOTICE)


class _MachineCode(FunctionCache):
    """The machine code of a function on disk, as far as it can be read and written there."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # What a power failure has left may raise anything.
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if _NOTICE.kept:
                _NOTICE.kept = False
                _NOTICE.say_not_kept(error.strerror or str(error))


def _kept_code(function: Kernel) -> _MachineCode | None:
    """The place of a function's machine code; None if no folder can be written."""
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    if not given and not os.path.isabs(os.path.expanduser("~")):
        return None  # A user without a home would get a folder named "~" in the current one.
    try:
        return _MachineCode(function)
    except RuntimeError:  # Neither beside the source nor in the user's cache.
        return None


def machine_code_folder() -> str | None:
    """Where the machine code of this module is kept, as an example; None if nowhere."""
    kept = _kept_code(shares)
    return kept and kept.cache_path


def _compiled(function: Kernel, **options: Any) -> Kernel:
    """A function that is compiled without the interpreter lock; its machine code is cached."""
    kernel: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    kept = _kept_code(function)
    if kept is None:
        _NOTICE.kept = False
    else:
        kernel._cache = kept
    return cast(Kernel, kernel)


def jit(function: Kernel) -> Kernel:
    """Compile on the first call, with fast math; machine code is cached on disk between runs.

    LLVM does not vectorize a loop over `range(first, last)`, because the index might be
    negative and count from the end. It does vectorize loops over `range(len(part))` of a slice.
    """
    return _compiled(function, fastmath=True)


def strict_jit(function: Kernel) -> Kernel:
    """Like `jit`, without fast math: operations are rounded in source order, and NaN is kept.

    For values that are compared rather than summed, such as the side of an edge that a pixel
    lies on, or a bound in a tree search.
    """
    return _compiled(function)


def inline(function: Kernel) -> Kernel:
    """A helper function that is inlined into every kernel that calls it."""
    return _compiled(function, fastmath=True, inline="always")


def _start_thread() -> None:
    """Set up a pool thread: one torch thread, no autograd, and denormals flushed to zero.

    Gradients of samples behind a surface are often denormal, and processors take about a
    hundred times as long for denormal numbers.
    """
    # The getter initializes torch's setting, which would otherwise be overwritten later.
    torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, "unrender-kernel", initializer=_start_thread)


def num_threads() -> int:
    """Torch's number of threads, so that `torch.set_num_threads` governs the kernels too."""
    return torch.get_num_threads()


def run_threads(
    function: Callable[[Job], Result], jobs: Iterable[Job], include_caller: bool = True
) -> list[Result]:
    """The results of `function` on every job, in order, computed on all threads.

    Use `include_caller=False` if the function calls torch, which would start its own threads
    from the calling thread.
    """
    jobs = list(jobs)
    if len(jobs) <= 1 or num_threads() == 1:
        with torch.no_grad():
            return [function(job) for job in jobs]
    if not include_caller:
        return list(_pool(num_threads()).map(function, jobs))
    results: dict[int, Result] = {}
    task = function, jobs, count(), results
    others = min(num_threads(), len(jobs)) - 1
    futures = [_pool(num_threads()).submit(_run_jobs, *task) for _ in range(others)]
    try:
        with torch.no_grad():
            _run_jobs(*task)
    finally:
        wait(futures)
    for future in futures:
        future.result()
    return [results[number] for number in range(len(jobs))]


def _run_jobs(
    function: Callable[[Job], Result],
    jobs: list[Job],
    numbers: Iterator[int],
    results: dict[int, Result],
) -> None:
    """Run the next job until none is left; `next` on a counter is atomic under the GIL."""
    while (number := next(numbers)) < len(jobs):
        results[number] = function(jobs[number])


def shares(total: int, parts: int) -> list[tuple[int, int]]:
    """Nearly equal ranges [start, stop) of `total` items: at most `parts`, none empty."""
    edges = [total * part // parts for part in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def even_shares(counts: Array, parts: int) -> list[tuple[int, int]]:
    """Ranges [start, stop) of planes with about the same number of points each, none empty."""
    work = counts.cumsum()
    inner = np.searchsorted(work, work[-1] * np.arange(1, parts) / parts)
    edges = [0, *(int(edge) for edge in inner), len(counts)]
    return [(a, b) for a, b in pairwise(edges) if b > a]

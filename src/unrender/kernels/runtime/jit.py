"""Numba as every CPU kernel here uses it, and the threads they run on.

Kernels are compiled without the interpreter lock and run from a pool of Python threads, each on
its own share of the work. That costs some microseconds a call, needs no OpenMP or TBB at the
user's, and compiles several times faster than Numba's own parallel loops.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import count, pairwise
from typing import Any, TypeVar, cast

import numba
import torch
from numba.core.event import Event, Listener, register


class _Announcer(Listener):
    """Says on stderr, once a module, that Numba compiles: a first call takes seconds."""

    def __init__(self) -> None:
        self.announced: set[str] = set()

    def on_start(self, event: Event) -> None:
        assert event.data is not None
        module = event.data["dispatcher"].py_func.__module__
        if module.startswith(f"{PACKAGE}.") and module not in self.announced:
            self.announced.add(module)
            name = module.removeprefix(f"{PACKAGE}.")
            sys.stderr.write(f"Compiling {name} for this processor (kept for later runs)\n")

    def on_end(self, event: Event) -> None:
        pass


PACKAGE = __name__.split(".", maxsplit=1)[0]
register("numba:compile", _Announcer())

Kernel = Callable[..., Any]
Job = TypeVar("Job")
Result = TypeVar("Result")


def jit(function: Kernel) -> Kernel:
    """Compile on first call; the machine code is kept on disk between runs.

    A loop over `range(first, last)` might begin below zero, where an index counts from the end:
    LLVM then computes number by number. Over `range(len(part))` of a slice it takes vectors.
    """
    compiler = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    return cast(Kernel, compiler(function))


def exact(function: Kernel) -> Kernel:
    """As `jit`, but with every sum and product rounded as it is written, NaN included.

    For what is compared, not added up: which side of an edge a pixel lies on, or a bound in a
    search, which must hold for the number as it is computed.
    """
    compiler = numba.njit(cache=True, nogil=True, error_model="numpy")
    return cast(Kernel, compiler(function))


def inline(function: Kernel) -> Kernel:
    """A helper that is compiled into each kernel that calls it."""
    compiler = numba.njit(
        cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always"
    )
    return cast(Kernel, compiler(function))


def _start_thread() -> None:
    """Each pool thread runs torch on itself alone, and never records gradients.

    The gradients of what lies behind a surface are too small for normal floats, and a processor
    takes a hundred times as long for each of those: they are zero here.
    """
    # Asked for its number first: else torch would set it anew, to that of another thread.
    torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, "unrender-kernel", initializer=_start_thread)


def num_threads() -> int:
    """As many as torch uses, so that one setting governs both: `torch.set_num_threads`."""
    return torch.get_num_threads()


def run_threads(
    function: Callable[[Job], Result], jobs: Iterable[Job], takes_part: bool = True
) -> list[Result]:
    """The results of `function` on every job, in order, on all threads.

    The calling thread takes part, unless the function computes with torch: that would start
    threads of its own.
    """
    jobs = list(jobs)
    if len(jobs) <= 1 or num_threads() == 1:
        with torch.no_grad():
            return [function(job) for job in jobs]
    if not takes_part:
        return list(_pool(num_threads()).map(function, jobs))
    results: dict[int, Result] = {}
    task = function, jobs, count(), results
    others = min(num_threads(), len(jobs)) - 1
    waiting = [_pool(num_threads()).submit(_work, *task) for _ in range(others)]
    try:
        with torch.no_grad():
            _work(*task)
    finally:
        wait(waiting)
    for other in waiting:
        other.result()
    return [results[number] for number in range(len(jobs))]


def _work(
    function: Callable[[Job], Result],
    jobs: list[Job],
    numbers: Iterator[int],
    results: dict[int, Result],
) -> None:
    """Do the next job until none is left; a call of `next` is never interrupted."""
    while (number := next(numbers)) < len(jobs):
        results[number] = function(jobs[number])


def shares(total: int, parts: int) -> list[tuple[int, int]]:
    """[start, stop) of `parts` nearly equal shares of `total` items; empty ones left out."""
    edges = [total * part // parts for part in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]

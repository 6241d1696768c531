"""Numba as every CPU kernel here uses it, and the threads they run on.

Kernels are compiled without the interpreter lock and run from a pool of Python threads, each on
its own share of the work. That costs some microseconds a call, needs no OpenMP or TBB at the
user's, and compiles several times faster than Numba's own parallel loops.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numba
import torch

Function = TypeVar("Function", bound=Callable[..., object])
Job = TypeVar("Job")
Result = TypeVar("Result")


def jit(function: Function) -> Function:
    """Compile on first call; the machine code is kept on disk between runs."""
    return numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function)


def inline(function: Function) -> Function:
    """A helper that is compiled into each kernel that calls it."""
    return numba.njit(
        cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always"
    )(function)


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="unrender-kernel")


def num_threads() -> int:
    """As many as torch uses, so that one setting governs both: `torch.set_num_threads`."""
    return torch.get_num_threads()


def run_threads(function: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """The results of `function` on every job, in order, on all threads."""
    jobs = list(jobs)
    if len(jobs) <= 1 or num_threads() == 1:
        return [function(job) for job in jobs]
    return list(_pool(num_threads()).map(function, jobs))


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """[start, stop) of `parts` nearly equal shares of `count` items; empty ones left out."""
    edges = [count * part // parts for part in range(parts + 1)]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]

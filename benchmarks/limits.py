"""Measured limits of this machine, with which kernels are compared.

Products of matrices, copies, and random reads ("gathers") and additions ("updates") of
entries of two floats, in tables of several sizes. Gathers share one table; each thread has a
table of its own for updates, as the hash grid's backward pass has.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import no_type_check

import numpy as np
import torch
from timing import fastest
from torch import Tensor

from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares

LOG2_ENTRIES = (10, 13, 15, 17, 19, 21)
BLOCK = 2048


@dataclass(frozen=True)
class Limits:
    """Rates per second, of all threads together."""

    flops: float
    """FLOP/s of float32 products of large square matrices."""
    bytes: float
    """Bytes/s of a copy of a large array; each byte is read and written, and counts twice."""
    gathers: dict[int, float]
    """Random reads/s, by the binary logarithm of the number of 8-byte table entries."""
    updates: dict[int, float]

    def rate(self, rates: dict[int, float], entries: int) -> float:
        """The rate for a table of any size, by log-log interpolation."""
        sizes = sorted(rates)
        logs = [math.log(rates[size]) for size in sizes]
        return float(np.exp(np.interp(math.log2(max(entries, 1)), sizes, logs)))

    def best(self, other: "Limits") -> "Limits":
        """The maximum of each rate: disturbances only lower it."""
        pairs = ((self.gathers, other.gathers), (self.updates, other.updates))
        gathers, updates = ({key: max(a[key], b[key]) for key in a} for a, b in pairs)
        return Limits(
            max(self.flops, other.flops), max(self.bytes, other.bytes), gathers, updates
        )

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def measure(device: str, quick: bool) -> Limits:
    """Measure the machine twice; takes 30 seconds, or 6 if quick."""
    return _look(device, quick).best(_look(device, quick))


def _look(device: str, quick: bool) -> Limits:
    seconds = 0.1 if quick else 1.0
    size = 1024 if quick else 2048
    a, b = torch.rand(2, size, size, device=device)
    product = torch.empty(size, size, device=device)
    flops = 2 * size**3 / fastest(lambda: torch.mm(a, b, out=product), device, seconds)
    source = torch.ones(1 << (24 if quick else 26), device=device)
    target = torch.zeros_like(source)
    copied = 2 * source.nbytes / fastest(lambda: target.copy_(source), device, seconds)
    gathers, updates = {}, {}
    for log2 in LOG2_ENTRIES:
        probes = _cpu_probes(log2, quick) if device == "cpu" else _torch_probes(log2)
        for rates, (run, count) in zip((gathers, updates), probes, strict=True):
            rates[log2] = count / fastest(run, device, seconds / 2)
    return Limits(flops, copied, gathers, updates)


Probe = tuple[Callable[[], object], int]
"""What to run, and the number of entries that it accesses."""


@jit
@no_type_check
def _gather(table, index, num_blocks, seed):
    """Random reads; the indices of a block are permuted by a different salt for each block."""
    mask = np.uint32(len(table) - 1)
    salt = np.uint32(seed)
    a = np.float32(0)
    b = np.float32(0)
    for _ in range(num_blocks):
        salt = np.uint32(salt * np.uint32(1664525) + np.uint32(1013904223))
        turn = np.uint32(salt >> np.uint32(8))
        for i in range(len(index)):
            j = np.uint32(index[i] ^ turn) & mask
            a += table[j, 0]
            b += table[j, 1]
    return a + b


@jit
@no_type_check
def _update(table, index, num_blocks, seed):
    mask = np.uint32(len(table) - 1)
    salt = np.uint32(seed)
    small = np.float32(1e-3)
    for _ in range(num_blocks):
        salt = np.uint32(salt * np.uint32(1664525) + np.uint32(1013904223))
        turn = np.uint32(salt >> np.uint32(8))
        for i in range(len(index)):
            j = np.uint32(index[i] ^ turn) & mask
            table[j, 0] += small
            table[j, 1] += small


def _cpu_probes(log2: int, quick: bool) -> tuple[Probe, Probe]:
    threads, num_blocks = num_threads(), 1 << (10 if quick else 12)
    random = np.random.default_rng(0)
    index = random.integers(0, 1 << 32, BLOCK, dtype=np.uint32)
    shared = random.random((1 << log2, 2), dtype=np.float32)
    own = [np.zeros_like(shared) for _ in range(threads)]
    count = threads * num_blocks * BLOCK
    return (
        (lambda: run_threads(lambda t: _gather(shared, index, num_blocks, t), range(threads))),
        count,
    ), (
        (lambda: run_threads(lambda t: _update(own[t], index, num_blocks, t), range(threads))),
        count,
    )


def _torch_probes(log2: int) -> tuple[Probe, Probe]:
    """On a GPU. An entry is one complex number, so that it is read as a whole."""
    generator = torch.Generator("cuda").manual_seed(0)
    count = 1 << 24
    table = torch.zeros(1 << log2, dtype=torch.complex64, device="cuda")
    index = torch.randint(
        1 << log2, (count,), generator=generator, device="cuda", dtype=torch.int32
    )
    values: Tensor = torch.zeros(count, dtype=torch.complex64, device="cuda")
    return (
        (lambda: torch.index_select(table, 0, index, out=values)),
        count,
    ), (
        (lambda: table.index_add_(0, index, values)),
        count,
    )


@jit
@no_type_check
def _loop(table, first, last):
    """Arithmetic, reads and branches that depend on each other, on a table in the cache."""
    total, index = np.float32(0), np.uint32(first)
    for _ in range(first, last):
        index = np.uint32(index * np.uint32(1664525) + np.uint32(1013904223))
        value = table[index >> np.uint32(20)]
        total = total * np.float32(0.5) + value if value > total else total + np.float32(1e-3)
    return total


_TABLE = np.linspace(0, 1, 1 << 12, dtype=np.float32)


def fixed_loop() -> None:
    """A loop of fixed code on all threads, a millisecond or two: a yardstick for kernels."""
    run_threads(lambda share: _loop(_TABLE, *share), shares(1 << 19, num_threads()))

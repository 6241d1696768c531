"""Runs mutated inputs through the loaders in worker processes and names what goes wrong.

An input passes if the loader returns finite, sane numbers, or raises `InputError` with one
plain line. A number of an input is the whole of it: number, seeds and mutations are the same in
every run, so that `python benchmarks/robustness_fuzz.py --start N --count 1` repeats it.
"""

import dataclasses
import json
import math
import mmap
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from fuzz import seeds
from fuzz.mutations import Files, mutate
from fuzz.targets import Target, make_targets, read_collecting

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras

MAX_SECONDS = 10
MAX_BYTES = 1 << 30
MAX_ADDRESSES = 6 << 30
"""Address space beyond what a worker has, so that no input can exhaust the machine."""
MAX_CHARACTERS = 300
LARGEST = 1e15
FIELDS = {
    "exception": "fuzz_exceptions",
    "accepted": "fuzz_nonfinite_accepted",
    "hang": "fuzz_hangs",
    "crash": "fuzz_exceptions",
    "memory": "fuzz_over_1_gb",
    "line": "fuzz_odd_lines",
    "printed": "fuzz_odd_lines",
    "warning": "fuzz_odd_lines",
}
"""The figure that counts a kind of fault."""


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong with one input."""

    kind: str
    """A key of `FIELDS`."""
    target: str
    place: str
    """What makes it distinct: a line of the source, or what was accepted."""
    detail: str
    number: int


@dataclass
class Outcome:
    """What a range of inputs came to."""

    inputs: int = 0
    loaded: int = 0
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    by_target: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: "Outcome") -> None:
        self.inputs += other.inputs
        self.loaded += other.loaded
        self.refused += other.refused
        self.faults += other.faults
        self.by_target += other.by_target

    def distinct(self) -> dict[tuple[str, str, str], list[Fault]]:
        found: dict[tuple[str, str, str], list[Fault]] = {}
        for fault in self.faults:
            found.setdefault((fault.target, fault.kind, fault.place), []).append(fault)
        return found


# Inputs


def make_input(targets: Sequence[Target], number: int) -> tuple[Target, Files]:
    """The target and the files of an input, by its number."""
    random = Random(f"unrender {number}")
    target = random.choices(targets, [each.weight for each in targets])[0]
    files = target.pick(random)
    some = {name: data for name, data in files.items() if name.startswith(target.only)}
    others = {name: data for name, data in files.items() if name not in some}
    return target, {**others, **mutate(some, random)}


def prepare(folder: Path, with_fits: bool = True) -> list[Target]:
    """All targets. Fits and encoders run in a process of their own, for their threads."""
    made = folder / "fitted"
    if with_fits and not made.exists():
        child = _fork()
        if child == 0:
            code = 1
            try:
                torch.set_num_threads(1)
                new = folder / "new"
                seeds.box_run(new / "box")
                seeds.ngp_run(new / "ngp")
                seeds.film(new / "film")
                new.rename(made)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.waitpid(child, 0)
        if not made.exists():
            raise RuntimeError("the seeds could not be made")
    fitted = {each.name: seeds.read(each) for each in made.iterdir()} if with_fits else {}
    return make_targets(fitted)


def _fork() -> int:
    with warnings.catch_warnings():
        # Newer Pythons warn of forks beside threads; ours only wait.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


# One input


def check_input(
    target: Target, files: Files, number: int, folder: Path, printed: "Printed"
) -> tuple[bool | None, list[Fault]]:
    """Whether it was loaded (None for a fault), and what went wrong with it."""
    seeds_folder = folder / "input"
    shutil.rmtree(seeds_folder, ignore_errors=True)
    seeds_folder.mkdir()
    seeds.write(seeds_folder, files)
    faults: list[Fault] = []

    def fault(kind: str, place: str, detail: str) -> None:
        detail = detail.replace(str(folder), "…")
        faults.append(Fault(kind, target.name, place[:160], detail[:300], number))

    loaded: bool | None = None
    before = _memory()
    printed.start()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found, notes = read_collecting(target, seeds_folder)
            loaded = True
            for what in absurdities(found):
                fault("accepted", re.sub(r"\d+", "#", what), what)
            for line in notes:
                for why in odd(line):
                    fault("line", f"note: {why}", line)
        except InputError as error:
            loaded = False
            for why in odd(str(error)):
                fault("line", f"{why} @ {_place(error)}", repr(str(error)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            name = type(error).__name__
            fault("exception", f"{name} @ {_place(error)}", f"{name}: {error}")
    for each in warned:
        where = f"{Path(each.filename).name}:{each.lineno}"
        fault("warning", f"{each.category.__name__} @ {where}", str(each.message))
    text = printed.stop()
    if text:
        fault("printed", re.sub(r"[^a-zA-Z ]+", "#", text)[:60], text)
    if _memory_peak() - before > MAX_BYTES:
        fault("memory", "over 1 GB", f"{(_memory_peak() - before) / 2**20:.0f} MB")
    return (None if faults else loaded), faults


def odd(line: str) -> list[str]:
    """Why a message is not one plain line, if it is not."""
    found: list[str] = []
    if len(line) > MAX_CHARACTERS:
        found.append("longer than 300 characters")
    if not line.isprintable():
        found.append("control characters or line breaks")
    if not line.strip():
        found.append("empty")
    return found


def absurdities(found: Any) -> list[str]:
    """Numbers that are NaN, infinite or beyond 1e15, focal lengths of 0, in anything."""
    return list(_walk(found, "", 0))


def _walk(value: Any, where: str, depth: int) -> Iterator[str]:
    if depth > 8:
        return
    if isinstance(value, torch.Tensor | np.ndarray):
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        if array.dtype.kind in "fc" and array.size:
            yield from _number(where, float(np.abs(array).max()))
    elif isinstance(value, int | float):
        yield from _number(where, value)
    elif isinstance(value, str):
        if re.search(r"(?<![\w/.'])(nan|inf)(?![\w/.'])", value):
            yield f"{where}: text says nan or inf"
    else:
        for name, each in _parts(value):
            if name != "names":  # Of files.
                yield from _walk(each, f"{where}.{name}", depth + 1)
    if isinstance(value, Cameras):
        lenses = value.intrinsics[:, [0, 1], [0, 1]]
        if not bool((lenses > 0).all()):
            yield f"{where}: a focal length is not above 0"


def _number(where: str, value: float) -> Iterator[str]:
    if not math.isfinite(value):
        yield f"{where}: not finite"
    elif abs(value) > LARGEST:
        yield f"{where}: beyond 1e15"


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list | tuple):
        return [(str(k), each) for k, each in enumerate(value)]
    if isinstance(value, torch.nn.Module):
        return list(value.state_dict().items())
    if dataclasses.is_dataclass(value):
        return list(vars(value).items())
    return [(str(k)[:30], v) for k, v in value.items()] if isinstance(value, dict) else []


def _place(error: BaseException) -> str:
    """The innermost line of the library, and the innermost line of all."""
    rows = traceback.extract_tb(error.__traceback__)
    ours = [row for row in rows if "/unrender/" in row.filename]
    last = rows[-1]
    inner = f"{Path(last.filename).name}:{last.name}"
    if not ours:
        return inner
    row = ours[-1]
    return f"{row.filename.split('/unrender/')[-1]}:{row.name} <- {inner}"


class Printed:
    """Catches what is written on stdout and stderr, by libraries in C too."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self.file, 1)
        os.dup2(self.file, 2)
        # Under pytest these are not the files 1 and 2.
        sys.stdout, sys.stderr = (os.fdopen(os.dup(k), "w", buffering=1) for k in (1, 2))

    def start(self) -> None:
        os.ftruncate(self.file, 0)

    def stop(self) -> str:
        sys.stdout.flush()
        sys.stderr.flush()
        if not os.fstat(self.file).st_size:
            return ""
        text = os.pread(self.file, 4000, 0).decode("utf-8", "replace").strip()
        os.ftruncate(self.file, 0)
        # The progress of Numba's compilation is of the first input, not of a damaged one.
        kept = [line for line in text.splitlines() if not line.startswith("Compiling ")]
        return " ".join(kept)


def _status(name: bytes) -> int:
    status = Path("/proc/self/status").read_bytes()
    at = status.index(name) + len(name)
    return int(status[at : status.index(b"kB", at)]) << 10


def _memory() -> int:
    """Memory in use; the peak is measured from here on."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status(b"VmRSS:")


def _memory_peak() -> int:
    return _status(b"VmHWM:")


# Workers


def run_range(
    targets: Sequence[Target],
    numbers: Sequence[int],
    folder: Path,
    until: float | None = None,
    on_fault: Callable[[Fault, Files], None] | None = None,
) -> Outcome:
    """Run inputs in a forked worker that is started again after a crash or a hang.

    `until` is a time of `time.monotonic`, after which no input is begun.
    """
    began = time.monotonic()
    outcome = Outcome()
    folder.mkdir(parents=True, exist_ok=True)
    at = 0
    while at < len(numbers) and (until is None or time.monotonic() < until):
        at += _run_worker(targets, numbers[at:], folder, until, outcome)
    outcome.seconds = time.monotonic() - began
    if on_fault is not None:
        for fault in outcome.faults:
            on_fault(fault, make_input(targets, fault.number)[1])
    return outcome


BLOCK = 2000
"""Inputs of one worker process, which then makes room for a fresh one."""


def _run_worker(
    targets: Sequence[Target],
    numbers: Sequence[int],
    folder: Path,
    until: float | None,
    outcome: Outcome,
    again: bool = False,
) -> int:
    """How many inputs are done; adds what they came to. `again`: the first one hung before."""
    shared = mmap.mmap(-1, 16)  # The number of inputs begun, and when the last one began.
    reader, writer = os.pipe()
    child = _fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            _work(targets, numbers[:BLOCK], folder, until, shared, writer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    killed = False
    received = b""
    os.set_blocking(reader, False)
    ended = False
    while not ended:
        pid, status = os.waitpid(child, os.WNOHANG)
        ended = pid == child
        while chunk := _read(reader):
            received += chunk
        begun, since = struct.unpack("<qd", shared[:16])
        if not ended and begun and time.monotonic() - since > MAX_SECONDS and not killed:
            os.kill(child, signal.SIGKILL)
            killed = True
        if not ended:
            time.sleep(0.02)
    os.close(reader)
    done = 0
    at = 0
    while at + 4 <= len(received):
        (size,) = struct.unpack_from("<I", received, at)
        if at + 4 + size > len(received):
            break
        name, loaded, faults = json.loads(received[at + 4 : at + 4 + size])
        outcome.inputs += 1
        outcome.by_target[name] += 1
        outcome.loaded += loaded is True
        outcome.refused += loaded is False
        outcome.faults += [Fault(**each) for each in faults]
        at += 4 + size
        done += 1
    begun, _ = struct.unpack("<qd", shared[:16])
    if begun > done and killed and not again:
        # On a busy machine it may only have waited for others.
        return done + _run_worker(
            targets, numbers[done : done + 1], folder, None, outcome, True
        )
    if begun > done:  # It hung, or ended the process.
        number = numbers[done]
        target, _ = make_input(targets, number)
        kind = "hang" if killed else "crash"
        how = f"over {MAX_SECONDS} s" if killed else f"status {status}"
        outcome.faults.append(Fault(kind, target.name, how, how, number))
        outcome.inputs += 1
        outcome.by_target[target.name] += 1
        done += 1
    elif done == 0 and (until is None or time.monotonic() < until):
        raise RuntimeError(f"a worker ended before its first input (status {status})")
    return done


def _read(file: int) -> bytes:
    try:
        return os.read(file, 1 << 16)
    except BlockingIOError:
        return b""


def _work(
    targets: Sequence[Target],
    numbers: Sequence[int],
    folder: Path,
    until: float | None,
    shared: mmap.mmap,
    writer: int,
) -> None:
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp(dir=folder))
    printed = Printed(place / "printed")
    try:
        limit = _status(b"VmSize:") + MAX_ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for k, number in enumerate(numbers):
            if until is not None and time.monotonic() > until:
                break
            target, files = make_input(targets, number)
            shared[:16] = struct.pack("<qd", k + 1, time.monotonic())
            loaded, faults = check_input(target, files, number, place, printed)
            packed = json.dumps((target.name, loaded, [vars(each) for each in faults])).encode()
            os.write(writer, struct.pack("<I", len(packed)) + packed)
    finally:
        shutil.rmtree(place, ignore_errors=True)

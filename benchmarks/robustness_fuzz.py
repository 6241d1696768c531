"""Mutated files given to every loader: exceptions, absurd numbers, hangs, memory, odd lines.

    python benchmarks/robustness_fuzz.py [--start 0] [--count 200000] [--workers 2]
        [--minutes M] [--state FILE] [--faults FOLDER] [--targets NAME …]

Inputs are numbered, and a number is all that is needed to repeat one: `--start N --count 1`.
With `--state` the outcome is kept in a file and added to what is there, and the numbers that
were done already are left out, so that a long run can be split into many.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fuzz.harness import FIELDS, Fault, Outcome, make_input, prepare, run_range
from fuzz.seeds import write
from fuzz.targets import Target

COUNT = 200_000
CHUNK = 1000
FIGURES = ("fuzz_exceptions", "fuzz_nonfinite_accepted", "fuzz_hangs", "fuzz_over_1_gb",
           "fuzz_odd_lines")  # fmt: skip


def measure(
    start: int = 0, count: int = COUNT, workers: int = 2, state: Path | None = None
) -> dict[str, Any]:
    """The figures of a range of inputs."""
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), start, count, workers, None, state, None, ())
    report(found)
    return figures(found)


def figures(found: Outcome) -> dict[str, Any]:
    """Counts of inputs and of faults."""
    counts = Counter(FIELDS[fault.kind] for fault in found.faults)
    return {
        "fuzz_inputs": found.inputs,
        "fuzz_loaded": found.loaded,
        "fuzz_refused": found.refused,
        **{name: counts[name] for name in FIGURES},
        "fuzz_distinct_faults": len(found.distinct()),
        "fuzz_targets": len(found.by_target),
    }


def run(
    folder: Path,
    start: int,
    count: int,
    workers: int,
    seconds: float | None,
    state: Path | None,
    faults: Path | None,
    only: tuple[str, ...],
) -> Outcome:
    """Run inputs in `workers` processes; `folder` is for files in between."""
    targets = prepare(folder)
    if only:
        targets = [target for target in targets if target.name in only]
    until = None if seconds is None else time.monotonic() + seconds
    total, done = _read_state(state)
    chunks = [
        range(at, min(at + CHUNK, start + count)) for at in range(start, start + count, CHUNK)
    ]
    chunks = [chunk for chunk in chunks if [chunk.start, chunk.stop] not in done]
    began = time.monotonic()

    def one(chunk: range) -> None:
        if until is not None and time.monotonic() > until:
            return
        found = run_range(targets, chunk, folder, until)
        total.add(found)
        if found.inputs == len(chunk):
            done.append([chunk.start, chunk.stop])
        for fault in found.faults:
            _keep(targets, fault, faults)
        _write_state(state, total, done)
        speed = total.inputs / max(1e-9, time.monotonic() - began)
        print(f"{total.inputs} inputs, {len(total.faults)} faults, {speed:.0f}/s", flush=True)

    # Threads only wait: each forks a process for its inputs.
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(one, chunks))
    return total


def _keep(targets: list[Target], fault: Fault, folder: Path | None) -> None:
    """Write the changed files of the first input of each distinct fault."""
    if folder is None:
        return
    mark = zlib.crc32(fault.place.encode())
    place = folder / fault.target / f"{fault.kind}_{mark:08x}"
    if place.exists():
        return
    place.mkdir(parents=True)
    target, files = make_input(targets, fault.number)
    known = {(name, data) for seed in target.seeds for name, data in seed.items()}
    write(place, {name: data for name, data in files.items() if (name, data) not in known})
    (place / "FAULT.txt").write_text(f"{fault.number}\n{fault.place}\n{fault.detail}\n")


def _read_state(path: Path | None) -> tuple[Outcome, list[list[int]]]:
    total = Outcome()
    if path is None or not path.exists():
        return total, []
    kept = json.loads(path.read_text())
    total.inputs, total.loaded, total.refused = (
        kept[name] for name in ("inputs", "loaded", "refused")
    )
    total.by_target = Counter(kept["by_target"])
    total.faults = [Fault(**each) for each in kept["faults"]]
    return total, kept["done"]


def _write_state(path: Path | None, total: Outcome, done: list[list[int]]) -> None:
    if path is None:
        return
    content = {
        "inputs": total.inputs,
        "loaded": total.loaded,
        "refused": total.refused,
        "by_target": dict(total.by_target),
        "faults": [vars(fault) for fault in total.faults],
        "done": done,
    }
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def report(found: Outcome) -> None:
    """Print inputs by target, and each distinct fault with the numbers that show it."""
    for name, number in sorted(found.by_target.items()):
        print(f"{number:8d}  {name}")
    for (target, kind, place), faults in sorted(
        found.distinct().items(), key=lambda item: (item[0][1], -len(item[1]))
    ):
        numbers = " ".join(str(fault.number) for fault in faults[:3])
        print(f"{len(faults):5d} {kind:9} {target:14} {place}\n{'':21}{faults[0].detail[:200]}")
        print(f"{'':21}inputs {numbers}")


def main() -> None:
    """Run a range of inputs and print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="end after this time")
    parser.add_argument("--state", type=Path, help="file in which the outcome adds up")
    parser.add_argument("--faults", type=Path, help="folder for the inputs that show faults")
    parser.add_argument("--targets", nargs="*", default=[], help="only these, renumbered")
    given = parser.parse_args()
    seconds = None if given.minutes is None else 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder), given.start, given.count, given.workers, seconds, given.state,
            given.faults, tuple(given.targets),
        )  # fmt: skip
    report(found)
    print(json.dumps(figures(found), indent=2))
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()

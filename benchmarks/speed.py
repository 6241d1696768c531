"""Speed of kernels, training and rendering, against the machine's limits.

    python benchmarks/speed.py [--device cuda] [--only PART ...] [--quick] [--out FILE] [--draw]
    python benchmarks/speed.py --quick --write-ratios FILE      # reference ratios for CI
    python benchmarks/speed.py --quick --compare FILE           # exit code 1 on a loss

Kernels are timed in turn with their torch references, in one process. The minimum time counts,
since disturbances only add time. Parts: kernels, growth, train, start. `--draw` writes plots
and tables of docs/speed.md from the results, without measuring.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import limits
import record
import tables
import torch
from kernel_cases import (
    CASES,
    COMPARED,
    Case,
    composite_case,
    hash_grid_case,
    make_case,
    mlp_case,
    train_step_case,
)
from limits import Limits
from record import ROOT, Figures, figure
from timing import in_turn, peak_mb, seconds_of, status_mb
from whole_step import measure_training

from unrender.kernels.runtime.process import prepare_process

PARTS = ("kernels", "growth", "train", "start")
OUT = ROOT / "benchmarks/results/speed.json"
MAX_LOSS = 0.3
"""Share of a committed ratio that may be lost before the comparison fails."""


def main() -> None:
    """Measure the selected parts, and merge the results into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--data", type=Path, default=record.LEGO, help="Blender folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small sizes, to test the script")
    parser.add_argument("--out", type=Path, help=f"default {OUT.name}, or none if --quick")
    parser.add_argument("--draw", action="store_true", help="only write the docs")
    parser.add_argument("--write-ratios", type=Path, metavar="FILE")
    parser.add_argument("--compare", type=Path, metavar="FILE")
    parser.add_argument("--first-calls", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    prepare_process()
    if options.first_calls:
        print(json.dumps(first_calls(options)))
        return
    if options.compare and not options.compare.exists():
        parser.error(f"--compare {options.compare}: no such file; --write-ratios makes it")
    if options.write_ratios or options.compare:
        options.quick = True
        sys.exit(check_ratios(options))
    out = options.out or (None if options.quick else OUT.with_stem(_stem(options.device)))
    if not options.draw:
        content = measure(options, record.read(out) if out else {})
        record.show(content["figures"])
        if out:
            gpu = {"gpu": torch.cuda.get_device_name()} if options.device == "cuda" else {}
            record.write(out, options.seed, **content, **gpu)
    if out and (options.draw or options.out is None):
        from speed_pictures import draw  # noqa: PLC0415 - matplotlib is slow to import

        draw(ROOT)
        tables.rewrite("speed")


def _stem(device: str) -> str:
    return "speed" if device == "cpu" else f"speed_{device}"


def measure(options: argparse.Namespace, before: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics and details of the selected parts, merged with those of earlier runs."""
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    content: dict[str, Any] = {
        key: value
        for key, value in before.items()
        if key in ("figures", "limits", "kernels", "growth", "step_parts", "first_calls")
    }
    figures: Figures = dict(content.get("figures", {}))
    if "kernels" in options.only:
        found = limits.measure(options.device, options.quick)
        rows = {name: measure_case(name, found, options) for name in CASES}
        content |= {"limits": found.to_json(), "kernels": rows}
        figures |= kernel_figures(rows)
    if "growth" in options.only:
        content["growth"] = {**content.get("growth", {}), **measure_growth(options)}
    if "train" in options.only:
        more, content["step_parts"], resolution = measure_training(options)
        content["growth"] = {**content.get("growth", {}), **resolution}
        figures |= more
    if "start" in options.only:
        figures |= measure_start(options)
        content["first_calls"] = [start_process(options) for _ in range(2)][1]
    if options.quick:
        figures = {
            name: {key: value for key, value in own.items() if key not in record.BOUNDS}
            for name, own in figures.items()
        }
    return {**content, "figures": figures, "seconds": time.perf_counter() - began}


# Kernels, one by one.


def measure_case(name: str, found: Limits, options: argparse.Namespace) -> dict[str, Any]:
    """One kernel, relative to its reference and to the machine's limits."""
    case = make_case(name, options.device, options.seed, options.quick)
    runs = [partial(case.run, "auto"), partial(case.run, "reference")]
    own, reference = in_turn(runs, options.device, 1 if options.quick else 10)
    least = case.work.least_seconds(found)
    limit = max(least, key=lambda key: least[key])
    row = {
        "unit": case.unit,
        "count": case.count,
        "seconds": min(own),
        "median_seconds": statistics.median(own),
        "noise": statistics.median(own) / min(own),
        "repeats": len(own),
        "reference_seconds": min(reference),
        "reference_noise": statistics.median(reference) / min(reference),
        "ratio": min(reference) / min(own),
        "ratio_of_medians": statistics.median(reference) / statistics.median(own),
        "per_second": case.count / min(own),
        "limit": limit if least[limit] else None,
        "share_of_limit": least[limit] / min(own) if least[limit] else None,
        "shares": {key: value / min(own) for key, value in least.items()},
        "flops_per_second": case.work.flops / min(own),
        "bytes_per_second": case.work.moved / min(own),
        "peak_mb": peak_mb(runs[0], options.device),
        "reference_peak_mb": peak_mb(runs[1], options.device),
    }
    share = row["share_of_limit"]
    print(
        f"{name:20} {row['per_second'] / 1e6:10.3g} M {case.unit}/s "
        f"{row['ratio']:7.1f}× reference "
        + (f"{share:6.0%} of {limit:9}" if share else " " * 19)
        + f" {row['peak_mb'] or 0:7.0f} MB, noise {row['noise']:.2f}",
        flush=True,
    )
    return row


def kernel_figures(rows: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Recorded metrics; the worse of the two table sizes."""
    grids = [rows["hash_grid, T 2^15"], rows["hash_grid, T 2^19"]]
    ratio, share = (min(row[key] for row in grids) for key in ("ratio", "share_of_limit"))
    return {
        "hash_grid_speedup": figure(ratio, "×", at_least=15),
        "hash_grid_roofline": figure(share, "share", at_least=0.4),
        "mlp_roofline": figure(rows["mlp"]["shares"]["products"], "share", at_least=0.6),
        "composite_speedup": figure(rows["composite"]["ratio"], "×", at_least=8),
    }


# The comparison that continuous integration makes.


def check_ratios(options: argparse.Namespace) -> int:
    """Write the kernels' speeds by both yardsticks, or compare them with written ones."""
    began = time.perf_counter()
    ratios = {name: measure_ratio(name, options) for name in COMPARED}
    if options.write_ratios:
        # The worse of two measurements is committed; the better of two is compared with it.
        content = {
            name: {key: float(f"{value:.3g}") for key, value in worse.items()}
            for name, first in ratios.items()
            for worse in [_each(min, first, measure_ratio(name, options))]
        }
        seconds = time.perf_counter() - began
        before = record.read(options.write_ratios).get("ratios", {})
        content = {**before, record.registers(): {"machine": record.processor(), **content}}
        record.write(options.write_ratios, options.seed, seconds, {}, ratios=content)
        return 0
    committed = committed_ratios(record.read(options.compare)["ratios"], record.registers())
    # A second measurement, since disturbances are rarely permanent.
    for name in regressions(committed, ratios):
        if name in COMPARED:
            ratios[name] = _each(max, ratios[name], measure_ratio(name, options))
    lost = regressions(committed, ratios)
    for line in lost.values():
        print(line)
    return 1 if lost else 0


Ratios = dict[str, float]
"""Speed of a kernel by yardstick: its "reference" in torch, and a "loop" of fixed code."""


def _each(choose: Callable[[float, float], float], first: Ratios, second: Ratios) -> Ratios:
    return {key: choose(first[key], second[key]) for key in first.keys() & second.keys()}


def committed_ratios(
    by_registers: Mapping[str, Mapping[str, Any]], registers: str
) -> dict[str, Ratios]:
    """Ratios of similar processors; if there are none, the minimum over all."""
    alike = [by_registers[registers]] if registers in by_registers else by_registers.values()
    return {
        name: reduce(partial(_each, min), [ratios[name] for ratios in alike])
        for name in COMPARED
    }


def measure_ratio(name: str, options: argparse.Namespace) -> Ratios:
    """Speed of a kernel relative to both yardsticks, all measured in turn."""
    case = make_case(name, options.device, options.seed, options.quick)
    runs = [partial(case.run, "auto"), partial(case.run, "reference"), limits.fixed_loop]
    own, *others = (min(times) for times in in_turn(runs, options.device, 2, least=5))
    reference, loop = (other / own for other in others)
    print(f"{name:20} {reference:7.2f}× reference {loop:8.3f}× fixed loop", flush=True)
    return {"reference": reference, "loop": loop}


def regressions(
    committed: Mapping[str, Ratios], measured: Mapping[str, Ratios]
) -> dict[str, str]:
    """A line for each kernel that is missing or lost more than MAX_LOSS by every yardstick.

    What a kernel has lost itself shows by both; how a machine divides its time between caches,
    memory and arithmetic changes the ratio to one of them.
    """
    lost: dict[str, str] = {}
    for name, ratios in committed.items():
        found = measured.get(name, {})
        losses = {key: 1 - found.get(key, 0.0) / ratio for key, ratio in ratios.items()}
        if all(loss > MAX_LOSS for loss in losses.values()):
            what = ", ".join(
                f"{loss:.0%} of {ratios[key]:.3g}× its {key}" for key, loss in losses.items()
            )
            lost[name] = f"{name}: lost {what}; {MAX_LOSS:.0%} at most by one of them"
    return lost


# Scaling.


def measure_growth(options: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of kernels over the amount of work, by axis."""
    full = 12 if options.quick else 18
    device = options.device
    points = [1 << log2 for log2 in range(full - 6, full + 3, 2)]
    rays = [count // 32 for count in points]
    axes: dict[str, dict[str, list[tuple[int, Callable[[], Case]]]]] = {
        "samples": {
            "hash grid": [(n, partial(hash_grid_case, n, device)) for n in points],
            "mlp": [(n, partial(mlp_case, n, device)) for n in points],
            "train step": [(n, partial(train_step_case, n, device)) for n in points],
        },
        "rays": {"composite": [(n, partial(composite_case, n, device)) for n in rays]},
        "levels": {
            "hash grid": [
                (n, partial(hash_grid_case, points[3], device, n)) for n in (1, 2, 4, 8, 16, 32)
            ]
        },
        "finest resolution": {
            "hash grid": [
                (n, partial(hash_grid_case, points[3], device, 16, 19, n))
                for n in (32, 128, 512, 2048, 8192)
            ]
        },
    }
    growth: dict[str, Any] = {}
    for axis, kernels in axes.items():
        for kernel, cases in kernels.items():
            rows = [_cost(value, make(), options) for value, make in cases]
            growth.setdefault(axis, {})[kernel] = rows
            print(f"{axis} of {kernel}: {[round(1e3 * row['seconds'], 2) for row in rows]} ms")
    if device == "cpu":
        growth["threads"] = _threads(points[3], options)
    return growth


def _threads(count: int, options: argparse.Namespace) -> dict[str, Any]:
    before = torch.get_num_threads()
    cores = os.cpu_count() or 1
    numbers = sorted({1, 2, cores} | {n for n in (4, 8, 16, 32) if n < cores})
    cases = {
        "hash grid": hash_grid_case(count, "cpu"),
        "mlp": mlp_case(count, "cpu"),
        "composite": composite_case(count // 32, "cpu"),
    }
    rows: dict[str, list[Any]] = {name: [] for name in cases}
    for number in numbers:
        torch.set_num_threads(number)
        for name, case in cases.items():
            rows[name].append(_cost(number, case, options))
    torch.set_num_threads(before)
    for name, found in rows.items():
        print(f"threads of {name}: {[round(1e3 * row['seconds'], 2) for row in found]} ms")
    return rows


def _cost(value: int, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    run = partial(case.run, "auto")
    (times,) = in_turn([run], options.device, 0.1 if options.quick else 1.5)
    return {"at": value, "seconds": min(times), "peak_mb": peak_mb(run, options.device)}


# A fresh process.


def first_calls(options: argparse.Namespace) -> dict[str, float]:
    """Time of each kernel's first call, mainly loading it from Numba's cache."""
    cases = {name: make_case(name, options.device, options.seed, True) for name in CASES}
    return {
        name: seconds_of(partial(case.run, "auto"), options.device)
        for name, case in cases.items()
    }


def start_process(options: argparse.Namespace) -> dict[str, float]:
    """`first_calls` in a new process, and the time of the whole process."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--first-calls", "--device", options.device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout), "whole process": time.perf_counter() - began}


def measure_start(options: argparse.Namespace) -> Figures:
    """Time from the start of the command to its first step, and memory of that fit."""
    asked = {"cold_start": ("s", 6), "peak_memory_mb": ("MB", 2000)}
    if not options.data.is_dir():
        return {
            name: figure(None, unit, f"no data at {options.data}", at_most=bound)
            for name, (unit, bound) in asked.items()
        }
    with tempfile.TemporaryDirectory() as folder:
        # The first fit fills Numba's cache and the disk's.
        _watched_fit(Path(folder) / "first", ["--steps", "20"], options)
        budget = ["--minutes", "0.1" if options.quick else "0.5"]
        found = _watched_fit(Path(folder) / "second", budget, options)
    return {
        name: figure(value, asked[name][0], at_most=asked[name][1])
        if value
        else figure(None, asked[name][0], "only Linux tells", at_most=asked[name][1])
        for name, value in zip(asked, found, strict=True)
    }


def _watched_fit(
    out: Path, budget: list[str], options: argparse.Namespace
) -> tuple[float, float]:
    """Wall time until the first step is logged, and peak memory, by polling."""
    command = [
        *(
            sys.executable,
            "-m",
            "unrender",
            "fit",
            "instant-ngp-fast",
            "--data",
            str(options.data),
        ),
        *("--out", str(out), "--log-every", "1", "--device", options.device, *budget),
    ]
    metrics = out / "metrics.jsonl"
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first, peak, status = 0.0, 0.0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        if not first and metrics.exists():
            first = time.perf_counter() - began
        if status.exists():
            peak = max(peak, status_mb(status, "VmHWM"))
        time.sleep(0.05 if first else 0.01)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {process.returncode}")
    return first, peak


if __name__ == "__main__":
    main()

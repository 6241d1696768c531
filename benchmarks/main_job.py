"""The demo, end to end, on a Blender scene and on the built-in ones.

    python benchmarks/main_job.py [--data FOLDER] [--only NAME ...] [--quick] [--out FILE]

Runs `unrender demo` as a user would, one process per scene, and writes its metrics to a JSON
file with command, commit, machine and seed. All metrics are on held-out views.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record
import tables
from record import ROOT

BUILT_IN = ("bricks", "chair", "hotdog")

# Unit and acceptance bound of metrics in summary.json.
WANTED: dict[str, tuple[str, str, float]] = {
    "fit.psnr": ("dB", "at_least", 30.0),
    "fit.seconds": ("s", "at_most", 90.0),
    "flow.psnr_mean_start": ("dB", "at_least", 23.0),
    "pose.rotation_deg_median": ("degrees", "at_most", 2.0),
    "pose.under_5deg": ("share", "at_least", 0.95),
    "pose.refined_rotation_deg_median": ("degrees", "at_most", 0.3),
    "peak_memory_mb": ("MB", "at_most", 4000.0),
    "total_seconds": ("s", "at_most", 600.0),
}
UNITS = {
    "fit.ssim": "",
    "flow.psnr_sampled_start": "dB",
    "flow.ceiling_psnr": "dB",
    "flow.seconds": "s",
    "flow.train_views": "views",
    "pose.rotation_deg_mean": "degrees",
    "pose.translation_percent_median": "percent of the radius",
    "pose.num_views": "views",
}
# Baselines and times, in details.json.
DETAILS = {
    "nearest_view_psnr": "dB",
    "inversion_20_steps_rotation_deg_median": "degrees",
    "pose_seconds_per_view": "s",
    "refine_seconds_per_view": "s",
}
UNITS |= {f"details.{key}": unit for key, unit in DETAILS.items()}
# Only lego has bounds on quality; built-in scenes have bounds on time and memory.
BOUNDS_OF_BUILT_IN = ("peak_memory_mb", "total_seconds")


def main() -> None:
    """Run the selected scenes, and merge their metrics into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=record.LEGO,
        help="Blender folder of lego",
    )
    parser.add_argument("--only", nargs="*", help="lego, bricks, chair, hotdog; default all")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="half a minute per scene")
    parser.add_argument("--keep", type=Path, help="folder to keep the demos' outputs in")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/main_job.json")
    arguments = parser.parse_args()
    names = arguments.only or ["lego", *BUILT_IN]
    began = time.perf_counter()
    figures = dict(record.read(arguments.out).get("figures", {}))
    for name in names:
        print(f"== {name}", flush=True)
        figures.update(run_scene(name, arguments))
    seconds = time.perf_counter() - began
    record.write(arguments.out, arguments.seed, seconds, figures)
    if not arguments.quick:
        tables.rewrite("main_job")
    record.show(figures)


def run_scene(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Run one demo in a new process; names of built-in scenes' metrics begin with the scene."""
    source = name if name in BUILT_IN else str(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        minutes, views = (0.5, 200) if arguments.quick else (arguments.minutes, 4000)
        command = [
            *(sys.executable, "-m", "unrender", "demo", "--data", source, "--out", str(out)),
            *("--minutes", str(minutes), "--views", str(views)),
            *("--seed", str(arguments.seed)),
        ]
        subprocess.run(command, check=True)
        summary = json.loads((out / "summary.json").read_text())
        details = json.loads((out / "details.json").read_text())
        summary["details"] = {key: details[key] for key in DETAILS}
        if arguments.keep is not None:
            shutil.copytree(out, arguments.keep / name, dirs_exist_ok=True)
    return {
        (key if name == "lego" else f"{name}.{key}"): figure(key, value, name, arguments.quick)
        for key, value in flatten(summary).items()
    }


def flatten(summary: dict[str, object]) -> dict[str, float]:
    """Numbers of summary.json by dotted name."""
    flat: dict[str, float] = {}
    for key, value in summary.items():
        for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(number, int | float):
                flat[f"{key}.{inner}".rstrip(".")] = number
    return {key: value for key, value in flat.items() if not key.startswith("scene.")}


def figure(key: str, value: float, scene: str, quick: bool) -> dict[str, object]:
    """One metric of the results."""
    unit, kind, bound = WANTED.get(key, (UNITS.get(key, ""), "", 0.0))
    bounded = kind and not quick and (scene == "lego" or key in BOUNDS_OF_BUILT_IN)
    return {"value": value, "unit": unit, **({kind: bound} if bounded else {})}


if __name__ == "__main__":
    main()

"""All radiance fields on one scene, with the same protocol and the same time.

    python benchmarks/radiance_fields.py [--data FOLDER] [--work FOLDER] [--only NAME ...]
        [--minutes 10] [--quick] [--out FILE]

Each method is fitted to the training views for the same time and evaluated on all test views
over white: PSNR, SSIM, time per image, model size and memory. During training a few test views
are rendered for the plot; this does not count as training time, and no choice is based on it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import record
import tables
import torch
from record import ROOT
from runs import fitted_in

from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.formats.multiscale import load_multiscale
from unrender.data.load import load_dataset
from unrender.data.views import Views
from unrender.evaluation.images import psnr
from unrender.evaluation.renders import WHITE, evaluate_images, render_in_parts
from unrender.files import replacing
from unrender.methods.presets import find_preset
from unrender.report.plots import draw_curves, resized
from unrender.training.fit import FitOptions

RESULTS = ROOT / "benchmarks/results/radiance_fields.json"
MULTISCALE = ROOT.parent / "shared/data/nerf_synthetic/lego_multiscale_sample"

PRESETS = {
    "nerf": "nerf-fast",
    "mip_nerf": "mip-nerf-fast",
    "mip_nerf_360": "mip-nerf-360-object-fast",
    "instant_ngp": "instant-ngp-fast",
    "nerfacto": "nerfacto-object-fast",
    "plenoxels": "plenoxels-fast",
    "dvgo": "dvgo-fast",
    "gaussian_splatting": "gaussian-splatting-fast",
}
"""Preset of each name in the results."""
WANTED = {
    "instant_ngp": 32.7,
    "gaussian_splatting": 30.0,
    "plenoxels": 29.0,
    "dvgo": 30.8,
    "nerfacto": 29.0,
    "nerf": 24.0,
    "mip_nerf": 24.0,
    "mip_nerf_360": 24.0,
}
WATCHED = 4
"""Number of test views for the curve."""
LOOKS = 12
"""Number of points on the curve."""


def main() -> None:
    """Fit and evaluate the selected methods, one process each, and merge the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=record.LEGO, help="a scene's folder")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/radiance_fields")
    parser.add_argument("--only", nargs="*", choices=[*PRESETS, "multiscale"], default=None)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 0.1
    if arguments.one is not None:
        found = measure(arguments.one, arguments)
        print(json.dumps(found))
        return
    began = time.perf_counter()
    earlier = record.read(arguments.out)
    figures, curves = dict(earlier.get("figures", {})), dict(earlier.get("curves", {}))
    # Methods may be measured separately: each has its commit and machine.
    measured = dict(earlier.get("measured", {}))
    for name in arguments.only or [*PRESETS, "multiscale"]:
        print(f"== {name}: {arguments.minutes:g} minutes", flush=True)
        # A new process for each method, to measure its peak memory.
        command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        figures.update(found["figures"])
        curves.update(found["curves"])
        measured[name] = {"commit": record.COMMIT, "machine": record.processor()}
        peaks = [f["value"] for key, f in figures.items() if key.endswith("_memory_gb")]
        bound = {} if arguments.quick else {"at_most": 6.0}
        figures["peak_memory_gb"] = record.figure(max(peaks), "GB", **bound)
        seconds = time.perf_counter() - began
        record.write(
            arguments.out, arguments.seed, seconds, figures, curves=curves,
            measured=measured, minutes=arguments.minutes,
        )  # fmt: skip
        record.show(found["figures"])
    if not arguments.quick and arguments.out == RESULTS:
        tables.rewrite("radiance_fields")
        draw(curves, ROOT / "docs/images/radiance_fields.png")


def measure(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Metrics and curve of one method."""
    if name == "multiscale":
        return multiscale(arguments)
    scene = load_dataset(str(arguments.data))
    opened, curve = fitted(PRESETS[name], scene, name, arguments)
    found = evaluate_images(opened.renderer, scene.test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    bound = {} if arguments.quick else {"at_least": WANTED[name]}
    figures = {
        f"{name}_psnr": record.figure(found.scores.mean_psnr, "dB", **bound),
        f"{name}_ssim": record.figure(found.scores.mean_ssim, ""),
        f"{name}_fit_seconds": record.figure(opened.seconds, "s"),
        f"{name}_steps": record.figure(opened.steps, "steps"),
        f"{name}_image_seconds": record.figure(found.seconds / len(scene.test), "s"),
        f"{name}_size_mb": record.figure(opened.fitted.megabytes, "MB"),
        f"{name}_memory_gb": record.figure(peak, "GB"),
    }
    return {"figures": figures, "curves": {name: curve}}


def fitted(
    preset: str, scene: Dataset, name: str, arguments: argparse.Namespace
) -> tuple[Run, list[list[float]]]:
    """The run, and (seconds, PSNR) of a few test views during training."""
    chosen = torch.linspace(0, len(scene.test) - 1, WATCHED).round().long()
    few = scene.test.select(chosen).by_size()[-1]
    truth, curve = few.over(WHITE), []
    every = 60 * arguments.minutes / LOOKS
    method = find_preset(preset).method()

    def watch(model: torch.nn.Module, seconds: float) -> None:
        if seconds < every * (len(curve) + 1):
            return
        made = render_in_parts(lambda cameras: method.render(model, cameras), few.cameras)
        score = psnr(made.over(WHITE).clamp(0, 1), truth).mean()
        curve.append([round(seconds, 1), round(float(score), 3)])

    options = FitOptions(minutes=arguments.minutes, seed=arguments.seed, device="cpu")
    out = arguments.work / name
    return fitted_in(out, method, scene, options, watch=watch), curve


def multiscale(arguments: argparse.Namespace) -> dict[str, object]:
    """Gain of mip-NeRF over NeRF on small images, both trained on all sizes."""
    scene = load_multiscale(MULTISCALE)
    scores: dict[str, list[float]] = {}
    scales = scene.test.by_size()[::-1]
    for name in ("nerf", "mip_nerf"):
        options: dict[str, Any] = {"by_area": True} if name == "mip_nerf" else {}
        method = find_preset(PRESETS[name]).method(**options)
        budget = FitOptions(minutes=arguments.minutes, seed=arguments.seed, device="cpu")
        out = arguments.work / f"multiscale-{name}"
        opened = fitted_in(out, method, scene, budget)
        scores[name] = [judged(opened, views) for views in scales]
    figures = {
        f"multiscale_{name}_{views.cameras.width}_psnr": record.figure(value, "dB")
        for name, values in scores.items()
        for views, value in zip(scales, values, strict=True)
    }
    gain = sum(a - b for a, b in zip(scores["mip_nerf"][-2:], scores["nerf"][-2:], strict=True))
    bound = {} if arguments.quick else {"at_least": 0.0}
    figures["mip_nerf_multiscale_gain"] = record.figure(gain / 2, "dB", **bound)
    return {"figures": figures, "curves": {}}


def judged(opened: Run, views: Views) -> float:
    return evaluate_images(opened.renderer, views).scores.mean_psnr


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Plot PSNR over training time."""
    lines = {
        name: tuple(zip(*curves[name], strict=True)) for name in PRESETS if curves.get(name)
    }
    figure = draw_curves(
        {PRESETS[name]: (list(line[0]), list(line[1])) for name, line in lines.items()},
        "training time (s)",
        f"PSNR of {WATCHED} test views (dB)",
    )
    with replacing(path) as temporary:
        resized(figure, 6.4, 4.0).savefig(temporary, format="png", dpi=200, facecolor="white")


if __name__ == "__main__":
    main()

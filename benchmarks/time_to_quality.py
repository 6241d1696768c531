"""PSNR over training time: instant-ngp on lego.

    python benchmarks/time_to_quality.py [--only lego_200 lego_800] [--seconds 10 20 …]
                                         [--quick] [--out FILE]

Learning rates decay within a fit's budget, so each point of the curve is a separate fit with
that budget. Only training time counts, without loading, compilation (a short fit comes first)
and evaluation. PSNR is the mean over the held-out test views, over white. `seconds_to_30db` is
the shortest budget whose fit ends at 30 dB or more.
"""

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import record
import tables
import torch
from peers import nerfstudio
from record import ROOT, Figures, figure

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import load_dataset
from unrender.evaluation.renders import evaluate_images
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.instant_ngp import InstantNGP
from unrender.training.fit import FitOptions

OUT = ROOT / "benchmarks/results/time_to_quality.json"
BUDGETS = {
    "lego_200": (15, 20, 25, 30, 35, 40, 60, 180),
    "lego_800": (20, 60),
}
WANTED_PSNR = 30.0


def main() -> None:
    """Fit the scenes with every budget, and merge the curves into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=tuple(BUDGETS), default=tuple(BUDGETS))
    parser.add_argument("--seconds", nargs="*", type=float, help="budgets for every scene")
    parser.add_argument("--data", type=Path, default=record.LEGO.parent, help="the scenes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, help=f"default {OUT.name}, or none if --quick")
    options = parser.parse_args()
    prepare_process()
    began = time.perf_counter()
    stem = OUT.stem if options.device == "cpu" else f"{OUT.stem}_{options.device}"
    out = options.out or (None if options.quick else OUT.with_stem(stem))
    before = record.read(out) if out else {}
    curves: dict[str, Any] = {**before.get("curves", {})}
    for name in options.only:
        budgets = (2.0, 4.0) if options.quick else options.seconds or BUDGETS[name]
        curves[name] = measure_curve(options.data / name, budgets, options)
    if not options.quick:
        curves["nerfstudio"] = nerfstudio(options.data / "lego_200", options.device, (60, 180))
    figures = quality_figures(curves.get("lego_200", {}), bounded=not options.quick)
    record.show(figures)
    if out:
        seconds = time.perf_counter() - began
        record.write(out, options.seed, seconds, figures, curves=curves)
    if options.out is None and not options.quick:
        from speed_pictures import draw  # noqa: PLC0415 - matplotlib is slow to import

        draw(ROOT)
        tables.rewrite("speed")


def measure_curve(
    data: Path, budgets: tuple[float, ...], options: argparse.Namespace
) -> dict[str, Any]:
    """One fit from scratch for each budget."""
    if not data.is_dir():
        return {"absent": f"no data at {data}"}
    scene = load_dataset(str(data))
    if options.quick:
        scene = dataclasses.replace(scene, test=scene.test.select(torch.arange(2)))
    _fit(scene, FitOptions(steps=20, device=options.device))
    points: list[dict[str, float]] = []
    for budget in sorted(budgets):
        limits = FitOptions(minutes=budget / 60, seed=options.seed, device=options.device)
        opened = _fit(scene, limits)
        scores = evaluate_images(opened.renderer, scene.test).scores
        points.append(
            {
                "budget_seconds": budget,
                "seconds": opened.seconds,
                "steps": opened.steps,
                "psnr": scores.mean_psnr,
                "ssim": scores.mean_ssim,
            }
        )
        print(
            f"{data.name}: {scores.mean_psnr:.2f} dB after {opened.seconds:.1f} s, "
            f"{opened.steps} steps",
            flush=True,
        )
    cameras = scene.test.cameras
    size = f"{len(scene.test)} test views of {cameras.width}×{cameras.height} on white"
    return {"views": size, "points": points}


def _fit(scene: Dataset, limits: FitOptions) -> Run:
    return fit_to(InstantNGP(), scene, limits, progress=False)


def quality_figures(curve: dict[str, Any], bounded: bool) -> Figures:
    """Recorded metrics of lego_200."""
    points = curve.get("points", [])
    figures: Figures = {}
    for budget, bound in ((60, 31.5), (180, 32.7)):
        found = [point["psnr"] for point in points if point["budget_seconds"] == budget]
        figures[f"psnr_at_{budget}s"] = figure(
            found[0] if found else None,
            "dB",
            None if found else curve.get("absent", "no fit with that budget"),
            **({"at_least": bound} if bounded else {}),
        )
    enough = [p["budget_seconds"] for p in points if p["psnr"] >= WANTED_PSNR]
    figures["seconds_to_30db"] = figure(
        min(enough) if enough else None,
        "s",
        None if enough else curve.get("absent", "no fit ended there"),
        **({"at_most": 40} if bounded else {}),
    )
    return figures


if __name__ == "__main__":
    main()

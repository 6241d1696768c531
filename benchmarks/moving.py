"""Scenes that move: Nerfies against radiance fields that stand still.

    python benchmarks/moving.py [--only PART ...] [--minutes 10] [--work FOLDER] [--quick]

`lamp` is the built-in film, judged by its second camera, all pixels and those where moving
parts are seen; `dnerf-lego` is D-NeRF's at 200×200 pixels, judged by its validation split, as
its test split shows another motion; `hand-book` is a real film, of which every eighth frame is
held out. Parts are merged into benchmarks/results/moving.json. What each part of the paper is
worth is measured by `unrender study moving-scenes`.
"""

import argparse
import json
import resource
from dataclasses import dataclass
from pathlib import Path

import record
import tables
from record import ROOT, Figures, figure
from runs import fitted_in, in_own_process

from unrender.data.builtin.lamp import lamp_moving
from unrender.data.load import LoadOptions, load_dataset
from unrender.evaluation.renders import evaluate_images
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.presets import find_preset
from unrender.training.options import FitOptions

RESULTS = ROOT / "benchmarks/results/moving.json"
MOVING = ROOT.parent / "shared/data/moving"
SCENES = {
    "lamp": ("lamp", LoadOptions()),
    "dnerf-lego": (str(MOVING / "dnerf_lego_400"), LoadOptions(split="val", downscale=2)),
    "hand-book": (str(MOVING / "nonrigid_hand_book"), LoadOptions(hold_out=8)),
}


@dataclass(frozen=True)
class Part:
    """A fit of a preset to a scene."""

    scene: str
    preset: str


OURS, STILL = "nerfies-fast", "instant-ngp-fast"
PARTS = {
    "lamp-nerfies": Part("lamp", OURS),
    "lamp-still": Part("lamp", STILL),
    "dnerf-lego-nerfies": Part("dnerf-lego", OURS),
    "dnerf-lego-still": Part("dnerf-lego", STILL),
    "hand-book-nerfies": Part("hand-book", "nerfies-capture"),
    "hand-book-still": Part("hand-book", "instant-ngp-capture"),
}
MEMORY_GB = 4.0


def main() -> None:
    """Measure the selected parts, each in a process of its own, for its peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=10.0, help="of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/moving")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 0.1
    prepare_process()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, arguments)))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    record.merge(
        {part: lambda each, part=part: measured(part, each) for part in PARTS}, arguments
    )
    if not arguments.quick and arguments.out == RESULTS:
        tables.rewrite("moving_scenes")


def measured(part: str, arguments: argparse.Namespace) -> Figures:
    """The figures of one part, and the gains that they make complete."""
    found = in_own_process(__file__, part, arguments, ("minutes", "seed", "work"))
    return found | gains({**record.read(arguments.out).get("figures", {}), **found})


def gains(figures: Figures) -> Figures:
    """Differences between the fits that have been measured, and their largest peak memory."""

    def value(key: str) -> float | None:
        return figures.get(key, {}).get("value")

    found: Figures = {}
    for key, ours, other, least in (
        ("moving_gain", "lamp_nerfies_moving_psnr", "lamp_still_moving_psnr", 5.0),
        ("hand_book_gain", "hand_book_nerfies_psnr", "hand_book_still_psnr", 1.5),
    ):
        a, b = value(ours), value(other)
        if a is not None and b is not None:
            found[key] = figure(a - b, "dB", at_least=least)
    lego = value("dnerf_lego_nerfies_psnr")
    if lego is not None:
        found["dnerf_lego_val_psnr"] = figure(lego, "dB", at_least=24.0)
    peaks = [each["value"] for key, each in figures.items() if key.endswith("_memory_gb")]
    if peaks:
        found["largest_memory"] = figure(max(peaks), "GB", at_most=MEMORY_GB)
    return found


def measure(name: str, arguments: argparse.Namespace) -> Figures:
    """The figures of one fit."""
    part = PARTS[name]
    source, reading = SCENES[part.scene]
    data = load_dataset(source, reading)
    options = FitOptions(minutes=arguments.minutes, seed=arguments.seed, device="cpu")
    run = fitted_in(arguments.work / name, find_preset(part.preset).method(), data, options)
    found = evaluate_images(run.renderer, data.test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    key = name.replace("-", "_")
    moving: Figures = {}
    if part.scene == "lamp":
        psnr = found.psnr_of_pixels(lamp_moving(found.views.cameras))
        moving[f"{key}_moving_psnr"] = figure(psnr, "dB")
    return moving | {
        f"{key}_psnr": figure(found.scores.mean_psnr, "dB"),
        f"{key}_ssim": figure(found.scores.mean_ssim, ""),
        f"{key}_steps": figure(run.steps, "steps"),
        f"{key}_image_seconds": figure(found.seconds / len(data.test), "s"),
        f"{key}_memory_gb": figure(peak, "GB"),
    }


if __name__ == "__main__":
    main()

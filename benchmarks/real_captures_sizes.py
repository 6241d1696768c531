"""Scenes of several image sizes, and the memory of views: two parts of `real_captures.py`.

    python benchmarks/real_captures_sizes.py [--steps 1500] [--only sizes memory]

A capture is cropped in two ways. In the mixed scene every other view is upright (3:4) and the
rest lie across (4:3); in the other all are the square that both kinds have in common. A fit of
equally many steps to each is scored on that square of the held-out photographs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import record
import torch
from PIL import Image
from record import ROOT, Figures, figure
from runs import fitted_in

import unrender as ur
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.views import Views
from unrender.evaluation.renders import evaluate_images
from unrender.geometry.sizes import ImageSizes
from unrender.methods.presets import find_preset
from unrender.training.fit import FitOptions

CAPTURE = ROOT.parent / "shared/data/real_scenes/mouse_colmap"
PRESET = "gaussian-splatting-fast"
STEPS = 1500
ASPECT = 4 / 3
COUNT, WIDTH, HEIGHT = 100, 1920, 1080
"""Views whose memory is measured."""


def mixed_and_common(scene: Dataset) -> tuple[Dataset, Dataset]:
    """The scene with views of several sizes, and with the part that these have in common.

    Both have the same held-out views, of that common part.
    """
    both = (scene.train.cameras.sizes.rows, scene.test.cameras.sizes.rows)
    long = min(int(rows.min()) for rows in both)
    side = round(long / ASPECT)
    square = ImageSizes.of([(side, side)])
    several = ImageSizes.of(
        [(side, long) if k % 2 else (long, side) for k in range(len(scene.train))]
    )
    test = scene.test.cropped(square)
    return (
        replace(scene, train=scene.train.cropped(several), test=test),
        replace(scene, train=scene.train.cropped(square), test=test),
    )


def sizes(
    work: Path,
    steps: int = STEPS,
    seed: int = 0,
    capture: Path = CAPTURE,
    preset: str = PRESET,
) -> Figures:
    """PSNR of a fit to views of several sizes, less that of a fit to their common part."""
    scene = load_dataset(str(capture), LoadOptions(downscale=2, hold_out=8))
    options = FitOptions(steps=steps, seed=seed, device="cpu")
    scores = [
        _psnr(
            fitted_in(work / f"sizes-{name}", find_preset(preset).method(), part, options), part
        )
        for name, part in zip(("mixed", "common"), mixed_and_common(scene), strict=True)
    ]
    return {
        "mixed_sizes_db": figure(scores[0] - scores[1], "dB", at_least=-0.1),
        "mixed_sizes_psnr": figure(scores[0], "dB"),
        "common_size_psnr": figure(scores[1], "dB"),
    }


def _psnr(run: Run, scene: Dataset) -> float:
    return evaluate_images(run.renderer, scene.test).scores.mean_psnr


def memory() -> Figures:
    """Memory of 100 opaque views of 1920×1080, with what reading them takes besides."""
    plain, distorted = (_measured(lens) for lens in (0.0, 0.05))
    return {
        "memory_views_mb": figure(plain, "MB", at_most=700.0),
        "memory_views_distorted_mb": figure(distorted, "MB"),
    }


def _measured(lens: float) -> float:
    """Peak memory of a process that reads a capture, above that before it, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        write_capture(Path(folder), lens)
        command = [sys.executable, __file__, "--measure", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def write_capture(folder: Path, lens: float) -> None:
    """Photographs with a COLMAP model, whose camera has this radial distortion."""
    (folder / "images").mkdir()
    model = folder / "sparse/0"
    model.mkdir(parents=True)
    small = np.random.default_rng(0).integers(0, 256, (27, 48, 3), dtype=np.uint8)
    photograph = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    photograph.save(folder / "images/0.jpg", quality=90)
    content = (folder / "images/0.jpg").read_bytes()
    (model / "cameras.txt").write_text(
        f"1 SIMPLE_RADIAL {WIDTH} {HEIGHT} {WIDTH} {WIDTH / 2} {HEIGHT / 2} {lens}\n"
    )
    lines: list[str] = []
    for k in range(COUNT):
        (folder / f"images/{k}.jpg").write_bytes(content)
        lines += [f"{k + 1} 1 0 0 0 {k / COUNT} 0 4 1 {k}.jpg", ""]
    (model / "images.txt").write_text("\n".join(lines) + "\n")


def _measure(folder: str) -> float:
    ur.load("bricks", downscale=8)  # What the library itself takes is there before.
    Path("/proc/self/clear_refs").write_text("5")  # Forget the peak until now.
    before = _status("VmRSS")
    views: Views = ur.load(folder).train
    batch = views.sample_pixels(4096, torch.Generator().manual_seed(0))
    assert len(batch.rgba) == 4096, "views can be sampled"
    assert views[50].over("white").shape == (1, HEIGHT, WIDTH, 3)
    return _status("VmHWM") - before


def _status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return float(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=["sizes", "memory"])
    parser.add_argument("--work", type=Path, default=ROOT / "runs/real_captures")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each fit")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(_measure(arguments.measure)))
        return
    parts = {"sizes": lambda: sizes(arguments.work, arguments.steps), "memory": memory}
    for part in arguments.only or parts:
        record.show(parts[part]())


if __name__ == "__main__":
    main()

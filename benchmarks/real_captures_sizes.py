"""Scenes of several image sizes, and the memory of views: two parts of `real_captures.py`.

    python benchmarks/real_captures_sizes.py [--steps 3000] [--seeds 3] [--only sizes memory]

A capture is cropped in two ways. In the mixed scene every other view is upright (3:4) and the
rest lie across (4:3); in the other all are the square that both kinds have in common. Fits of
equally many steps to each are scored on that square of the held-out photographs; the mean over
several seeds is stated, because the PSNR of one fit varies by 0.1 dB from seed to seed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
from unrender.data.undistort import Resampling
from unrender.data.views import Views
from unrender.evaluation.renders import evaluate_images
from unrender.geometry.lenses import Lens
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.undistortion import Calibration, PinholeView
from unrender.methods.presets import find_preset
from unrender.training.fit import FitOptions

CAPTURE = ROOT.parent / "shared/data/real_scenes/mouse_colmap"
PRESET = "gaussian-splatting-fast"
STEPS = 3000
SEEDS = 3
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
    seeds: Sequence[int] = range(SEEDS),
    capture: Path = CAPTURE,
    preset: str = PRESET,
) -> Figures:
    """PSNR of fits to views of several sizes, less that of fits to their common part."""
    scene = load_dataset(str(capture), LoadOptions(downscale=2, hold_out=8))
    parts = dict(zip(("mixed", "common"), mixed_and_common(scene), strict=True))
    scores = {name: torch.zeros(len(seeds)) for name in parts}
    for k, seed in enumerate(seeds):
        options = FitOptions(steps=steps, seed=seed, device="cpu")
        for name, part in parts.items():
            folder = work / f"sizes-{name}-{seed}"
            run = fitted_in(folder, find_preset(preset).method(), part, options)
            scores[name][k] = _psnr(run, part)
    gaps = scores["mixed"] - scores["common"]
    return {
        "mixed_sizes_db": figure(float(gaps.mean()), "dB", at_least=-0.1),
        "mixed_sizes_db_least": figure(float(gaps.min()), "dB"),
        "mixed_sizes_db_greatest": figure(float(gaps.max()), "dB"),
        "mixed_sizes_psnr": figure(float(scores["mixed"].mean()), "dB"),
        "common_size_psnr": figure(float(scores["common"].mean()), "dB"),
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
    # What the library itself takes, with its compiled kernels, is there before.
    ur.load("bricks", downscale=8)
    small = Calibration(Lens.of("FISHEYE", {}), 8.0, 8.0, 4.0, 4.0, 8, 8)
    Resampling(PinholeView(small))(torch.zeros(8, 8, 3, dtype=torch.uint8))
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
    parser.add_argument("--seeds", type=int, default=SEEDS, help="fits to each scene")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(_measure(arguments.measure)))
        return
    seeds = range(arguments.seeds)
    parts = {"sizes": lambda: sizes(arguments.work, arguments.steps, seeds), "memory": memory}
    for part in arguments.only or parts:
        record.show(parts[part]())


if __name__ == "__main__":
    main()

"""Image fields: all kinds with the same budget, and the best one in a minute.

    python benchmarks/field_images.py [--work FOLDER] [--pictures docs/fields]

prints the metrics that `fields_surfaces.py` records, and draws the images of docs/fields/.
There is no held-out set: the reported loss is the training loss, over all pixels.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import record
import skimage.data
import torch
from record import ROOT
from torch.nn.functional import interpolate

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.picture import Picture
from unrender.fields.field import IMAGE_KINDS, FieldKind
from unrender.files import replacing
from unrender.imaging.panels import save_panels
from unrender.imaging.resize import area_average
from unrender.methods.image_field import ImageField, ImageFieldModel
from unrender.report.compare import detailed_crop
from unrender.report.fields import Appearance, Tile, greys
from unrender.report.plots import draw_curves
from unrender.studies.field_comparison import appearance, compare_fields, image_appearance
from unrender.training.fit import FitOptions
from unrender.training.metrics import columns, read_metrics

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")
"""Photographs of scikit-image: 512×512, 600×400 and 451×300 pixels; chelsea is the cat."""
STEPS, PIXELS = 2000, 512
NAMES: Mapping[FieldKind, str] = {"encoding": "mlp_encoding"}
BARS: Mapping[FieldKind, float] = {
    "mlp": 0.0104,
    "encoding": 0.0045,
    "siren": 0.0070,
    "grid": 0.0060,
    "hybrid": 0.0021,
}
SECONDS = 60.0
BEST = ImageField(
    field="hash",
    pixels=1 << 15,
    levels=4,
    coarsest=64,
    finest=511,
    log2_table_size=18,
    small_width=32,
)
"""Its finest level has about one entry per pixel of 512²; batches are an eighth."""
SHOWN: tuple[FieldKind, ...] = ("mlp", "siren", "grid")
"""Fields whose derivatives are drawn besides those of the photograph."""
TILE = 240


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description="Image fields.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/field_images")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs/fields")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    arguments = parser.parse_args()
    steps, seconds = (20, 2.0) if arguments.quick else (STEPS, SECONDS)
    record.show(image_losses(arguments.work, arguments.seed, steps))
    record.show(best_image(arguments.seed, seconds))
    draw(arguments.work, arguments.pictures)


def photograph(name: str) -> Picture:
    """One of PHOTOGRAPHS, which are included in scikit-image."""
    pixels = torch.from_numpy(getattr(skimage.data, name)())
    return Picture(name, pixels.float() / 255)


def image_losses(work: Path, seed: int = 0, steps: int = STEPS) -> record.Figures:
    """Mean MSE of every kind after the same number of steps of PIXELS pixels.

    `work` keeps the pages and the runs, which are reused.
    """
    work.mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        if not (work / name / "index.html").exists():
            options = FitOptions(steps=steps, seed=seed, device="cpu")
            compare_fields(photograph(name), work / name, options, PIXELS)
    figures: record.Figures = {}
    for kind in IMAGE_KINDS:
        found = [_evaluation(work / name / kind) for name in PHOTOGRAPHS]
        losses = [float(each["mse"]) for each in found]
        key = f"image_{NAMES.get(kind, kind)}"
        figures[f"{key}_loss"] = record.figure(mean(losses), "MSE")
        if kind in BARS:
            figures[f"{key}_loss"]["at_most"] = BARS[kind]
        figures[f"{key}_loss_least"] = record.figure(min(losses), "MSE")
        figures[f"{key}_loss_most"] = record.figure(max(losses), "MSE")
        figures[f"{key}_parameters"] = record.figure(found[0]["parameters"], "")
    return figures


def best_image(seed: int = 0, seconds: float = SECONDS) -> record.Figures:
    """PSNR over all pixels of the astronaut, 512×512, after a minute of BEST on the CPU."""
    picture = photograph("astronaut")
    # Compile the kernels before the measurement.
    _fitted(picture, FitOptions(steps=2, seed=seed, device="cpu"))
    began = time.process_time()
    options = FitOptions(minutes=seconds / 60, seed=seed, device="cpu")
    figures, steps = _fitted(picture, options)
    busy = (time.process_time() - began) / seconds
    return {
        "image_best_psnr_60s": record.figure(figures["psnr"], "dB", at_least=40.0),
        "image_best_steps": record.figure(steps, ""),
        "image_best_cores": record.figure(busy, "cores busy"),
    }


def _fitted(picture: Picture, options: FitOptions) -> tuple[dict[str, Any], int]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = fit_to(BEST, picture, options, out=out, progress=False)
        return dict(run.evaluate()), run.steps


def _evaluation(run: Path) -> dict[str, Any]:
    return json.loads((run / "evaluation.json").read_text())


def draw(work: Path, folder: Path) -> None:
    """Draw the images of the docs, from the runs of `image_losses`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = photograph(PHOTOGRAPHS[0])
    truth = image_appearance(picture.pixels)
    looks: dict[str, Appearance] = {"photograph": truth}
    titles = {"photograph": "photograph"}
    for kind in IMAGE_KINDS:
        run = work / picture.name / kind
        model = Run.open(run).model
        assert isinstance(model, ImageFieldModel), "a run of compare_fields"
        looks[kind] = appearance(model)
        titles[kind] = f"{kind}, {_evaluation(run)['psnr']:.1f} dB"
    crop = detailed_crop(truth.color)
    whole = {titles[name]: _sized(look.color) for name, look in looks.items()}
    zoom = {titles[name]: _sized(look.color[crop]) for name, look in looks.items()}
    save_panels(folder / "kinds.jpg", whole, columns=4)
    save_panels(folder / "zoom.png", zoom, columns=4)
    names = ("photograph", *SHOWN)
    slopes, laplacians = greys(truth, [looks[name] for name in names])
    derivatives = {
        f"{name}: {kind}": _sized(tile)
        for kind, tiles in (("gradient", slopes), ("Laplacian", laplacians))
        for name, tile in zip(names, tiles, strict=True)
    }
    save_panels(folder / "derivatives.jpg", derivatives, columns=4)
    _draw_learning(folder, [work / picture.name / kind for kind in IMAGE_KINDS])


def _sized(image: Tile) -> Tile:
    """The image at TILE×TILE pixels, downscaled by averaging or enlarged without smoothing."""
    if image.shape[0] > TILE:
        return area_average(image[None], TILE, TILE)[0]
    return interpolate(image.movedim(-1, 0)[None], (TILE, TILE))[0].movedim(0, -1)


def _draw_learning(folder: Path, runs: Sequence[Path]) -> None:
    """Plot the loss over steps and over seconds."""
    logs = {run.name: read_metrics(run / "metrics.jsonl") for run in runs}
    for column, label, name in (
        ("step", "training step", "steps"),
        ("seconds", "training time (s)", "seconds"),
    ):
        series = {name: columns(lines, column, "loss") for name, lines in logs.items()}
        figure = draw_curves(series, label, "training loss (MSE)", log_y=True, log_x=True)
        with replacing(folder / f"loss_by_{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=220, facecolor="white")


if __name__ == "__main__":
    main()

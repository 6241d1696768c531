"""Novel views of held-out objects and of real scenes, and scenes distilled from few views.

    python benchmarks/novel_views.py [--only PART ...] [--regression RUN] [--flow RUN]

Parts: single (one input: the models of the package, beside the floors), nearest (five inputs),
distilled (radiance fields from 3 and 5 inputs, with generated views or without), seconds (one
photograph to a scene), curves (from the runs of the training: name them), package (size of the
weights), scenes (N inputs of real and built-in scenes; see novel_views_nearest.py).

Objects have numbers that training never draws; images have 32 pixels a side, on white.
"""

import argparse
import re
import statistics
import time
from dataclasses import replace
from pathlib import Path

import novel_views_nearest as scenes
import record
import tables
import torch
from novel_views_photographs import wild_photographs
from record import ROOT, Figures, figure

import unrender as ur
from unrender.data.builtin.families import FAMILIES
from unrender.data.dataset import Dataset
from unrender.data.object_ball import object_ball
from unrender.data.view_sets.objects import ObjectStream
from unrender.data.view_sets.view_sets import ViewPool
from unrender.evaluation.novel_view_baselines import nearest_inputs, score_novel_views
from unrender.evaluation.view_consistency import scene_consistency
from unrender.evaluation.view_sets import score_view_sets, views_of
from unrender.methods.presets.view_models import WEIGHTS, shipped
from unrender.training.metrics import read_metrics
from unrender.training.view_generation import generate_views

OUT = ROOT / "benchmarks/results/novel_views.json"
SIZE, VIEWS = 32, 12
OBJECTS, DISTILLED = 256, 8
"""Held-out objects, and those of them that scenes are distilled from, of all families."""
TUNED = 32
SAMPLES = 8
PERCENTS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""Parts of the training at which its curve is recorded."""
FIELD, STEPS = "instant-ngp-coarse", 600
"""The default field of `distilled`, also fitted to the inputs alone, and for how many steps."""


def held_out(count: int = OBJECTS) -> ViewPool:
    """Objects of all families in turn, 12 views each."""
    return ObjectStream(tuple(FAMILIES), 1, 0, VIEWS, SIZE).held_out(count)


def single(options: argparse.Namespace) -> Figures:
    """One input: PSNR of the other eleven views, and how sharp they are."""
    pool, seed = held_out(options.objects), options.seed
    regression = score_view_sets(shipped("regression").novel_views, pool, 1, 1, seed)
    found = {
        "single_copy_psnr": figure(regression["copy_psnr"], "dB"),
        "single_mean_image_psnr": figure(regression["mean_image_psnr"], "dB"),
        "single_regression_psnr": figure(regression["psnr"], "dB", at_least=19),
        "single_regression_ssim": figure(regression["ssim"], "SSIM"),
        "single_regression_sharpness": figure(regression["sharpness"], "share"),
    }
    for number, family in enumerate(FAMILIES):
        part = slice(number, None, len(FAMILIES))
        own = ViewPool(pool.images[part], pool.world_from_camera[part], pool.intrinsics[part])
        scores = score_view_sets(shipped("regression").novel_views, own, 1, 1, seed)
        found[f"single_regression_psnr_{family}"] = figure(scores["psnr"], "dB")
    if (WEIGHTS / "view-flow.safetensors").is_file():
        flow = score_view_sets(shipped("flow").novel_views, pool, 1, SAMPLES, seed)
        found |= {
            "single_flow_psnr": figure(flow["psnr"], "dB", at_least=15.5),
            "single_flow_ssim": figure(flow["ssim"], "SSIM"),
            "single_flow_best_of_8_psnr": figure(flow["best_psnr"], "dB", at_least=17.5),
            "single_flow_sharpness": figure(
                flow["sharpness"], "share", at_least=0.8, at_most=1.2
            ),
        }
    return found


def nearest(options: argparse.Namespace) -> Figures:
    """Five inputs of each object: models given the four nearest, and all, beside a copy."""
    pool = held_out(options.objects)
    batch = pool.batch(torch.arange(len(pool)), torch.arange(VIEWS).expand(len(pool), -1))
    model = shipped("regression")
    scores: dict[str, list[float]] = {"copy": [], "4 nearest": [], "nearest": [], "all": []}
    for number in range(len(pool)):
        views = views_of(batch, number)
        inputs, truth = views[:5], views[5:]
        center = object_ball(inputs)[:3]
        made = {"copy": nearest_inputs(inputs, truth.cameras, center)}
        for name, count in (("nearest", 1), ("4 nearest", 4), ("all", 5)):
            made[name] = generate_views(model, inputs, truth.cameras, "nearest", count)
        for name, images in made.items():
            scores[name].append(score_novel_views(images, truth).mean_psnr)
    means = {name: statistics.mean(values) for name, values in scores.items()}
    best = max(("nearest", "4 nearest", "all"), key=means.__getitem__)
    return {
        "nearest_of_5_copy_psnr": figure(means["copy"], "dB"),
        "nearest_of_5_psnr_from_1": figure(means["nearest"], "dB"),
        "nearest_of_5_psnr_from_4": figure(means["4 nearest"], "dB"),
        "nearest_of_5_psnr_from_all": figure(means["all"], "dB"),
        # The default of `novel-views` is four.
        "nearest_of_5_gain": figure(means["4 nearest"] - means["copy"], "dB", at_least=3),
        "nearest_of_5_best": figure(means[best] - means["copy"], "dB"),
    }


def distilled(options: argparse.Namespace) -> Figures:
    """Fields from N inputs alone, and with views generated by the package's regression."""
    # The first held-out objects served to choose the defaults of `distilled`.
    pool = held_out(TUNED + options.distilled)
    batch = pool.batch(torch.arange(len(pool)), torch.arange(VIEWS).expand(len(pool), -1))
    found: Figures = {}
    for count in (1, 3, 5):
        alone, whole, raw, gain = [], [], [], []
        for number in range(TUNED, len(pool)):
            views = replace(views_of(batch, number), ball=None)
            data = Dataset(f"object {number}", views[:count], views[count:])
            alone.append(
                ur.fit(
                    FIELD, data, steps=options.steps, seed=options.seed, progress=False
                ).evaluate()["psnr"]
                if count > 1
                else float("nan")
            )
            run = ur.fit(
                "distilled", data, field=FIELD, steps=options.steps, seed=options.seed,
                progress=False,
            )  # fmt: skip
            whole.append(run.evaluate()["psnr"])
            own, by_model = scene_consistency(run.fitted.renderer, run.fitted.model.generated)
            raw.append(by_model.psnr)
            gain.append(own.psnr - by_model.psnr)
            print(
                f"N = {count}, object {number}: {alone[-1]:.2f} → {whole[-1]:.2f} dB, "
                f"consistency {raw[-1]:.2f} → {raw[-1] + gain[-1]:.2f} dB",
                flush=True,
            )
        bounds = {"at_least": 1.5} if count > 1 else {}
        found |= {f"distilled_psnr_{count}": figure(statistics.mean(whole), "dB")}
        if count > 1:
            mean = statistics.mean(alone)
            found |= {
                f"field_alone_psnr_{count}": figure(mean, "dB"),
                f"distilled_gain_{count}": figure(
                    statistics.mean(whole) - mean, "dB", **bounds
                ),
            }
        found |= {
            f"generated_consistency_{count}": figure(statistics.mean(raw), "dB"),
            f"distilled_consistency_{count}": figure(statistics.mean(gain), "dB", at_least=5),
        }
    return found


def seconds(options: argparse.Namespace) -> Figures:
    """One photograph to a scene: the command's own default, from start to end."""
    files = list(wild_photographs().values())
    if not files:
        return {"distil_seconds": figure(None, "s", "no photograph here", at_most=300)}
    began = time.perf_counter()
    ur.fit("distilled", str(files[0]), progress=False)
    took = time.perf_counter() - began
    return {"distil_seconds": figure(took, "s", at_most=300)}


def package(options: argparse.Namespace) -> Figures:
    """Size of the weights in the package."""
    total = sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors"))
    return {"package_weights_mb": figure(total / 1e6, "MB", at_most=12)}


def in_scenes(options: argparse.Namespace) -> Figures:
    """N inputs of scenes that are no procedural objects."""
    found: Figures = {}
    models = scenes.shipped_models()
    for name in scenes.SCENES:
        scene = scenes.read_scene(name)
        if scene is None:
            continue
        for row in scenes.rows(scene, models, side=SIZE):
            print(row, flush=True)
            if row["psnr"] is not None:
                way = re.sub("[^a-z0-9]+", "_", row["way"].lower())
                found[f"{name}_{row['inputs']}_{way}"] = figure(row["psnr"], "dB")
    return found


def curves(options: argparse.Namespace) -> Figures:
    """The training curves, thinned, and how long the training took."""
    found: Figures = {}
    for name in ("regression", "flow"):
        run: Path | None = getattr(options, name)
        if run is None:
            continue
        entries = read_metrics(run / "metrics.jsonl")
        last = entries[-1]
        found |= {
            f"{name}_training_steps": figure(last["step"], "steps"),
            f"{name}_training_hours": figure(last["seconds"] / 3600, "h"),
        }
        for percent in PERCENTS:
            entry = entries[max(0, percent * len(entries) // 100 - 1)]
            measure, unit = ("psnr", "dB") if "psnr" in entry else ("image", "")
            found[f"{name}_curve_{percent}"] = figure(entry[measure], unit or "error")
    return found


PARTS = {
    "single": single,
    "nearest": nearest,
    "distilled": distilled,
    "seconds": seconds,
    "package": package,
    "curves": curves,
    "scenes": in_scenes,
}


def main() -> None:
    """Measure the chosen parts, each merged into the results file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--regression", type=Path, help="the run of its training, for curves")
    parser.add_argument("--flow", type=Path, help="the run of its training, for curves")
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--distilled", type=int, default=DISTILLED)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    record.merge(PARTS, options)
    if options.out == OUT:
        for page in ("novel_views", "model_card"):
            tables.rewrite(page)


if __name__ == "__main__":
    main()

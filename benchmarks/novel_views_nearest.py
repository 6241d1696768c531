"""Novel views of scenes from N of their photographs by several ways: part of `novel_views.py`.

    python benchmarks/novel_views_nearest.py [--only chair lego truck] [--counts 1 3 5 10 50]
        [--run RUN …] [--steps 400] [--side 32] [--views 20]

For each scene and N, N views are chosen evenly (farthest point sampling, seeded), and held-out
views are made from them

- by view models, from the nearest inputs (by position and rotation, or by rotation alone), from
  all of them, and from random ones;
- by copying the nearest input, and by the mean of the inputs;
- by a radiance field fitted to these inputs alone, and by warping the nearest inputs by its
  depths; the warp by a field fitted to all training views shows what better depths give.

All see and are compared at the same number of pixels, on white. The module prints rows and
writes nothing; `rows` yields them as dictionaries.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from record import ROOT

import unrender as ur
from unrender.api.view_models import view_model
from unrender.api.view_sources import ViewSource, of_scene
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.novel_view_baselines import (
    mean_input,
    nearest_inputs,
    score_novel_views,
    warped_inputs,
)
from unrender.geometry.paths import evenly
from unrender.rendering.renderer import Images, Renderer, supersampled
from unrender.training.method import Fitted
from unrender.training.view_generation import InputChoice, generate_views

COUNTS = (1, 3, 5, 10, 50)
DATA = ROOT.parent / "shared/data"
SCENES = {
    **{name: name for name in ("bricks", "chair", "hotdog")},
    "lego": str(DATA / "nerf_synthetic/lego_200"),
    "scan65": str(DATA / "dtu/scan65_400x300"),
    "truck": str(DATA / "co3d/toytruck_160x90"),
}
FIELD = "instant-ngp-fast"
STEPS = 400
SIDE, VIEWS = 32, 20
"""Pixels per side without a model that says so, and held-out views at most."""
Row = dict[str, Any]

MODEL_WAYS: Mapping[str, tuple[InputChoice, int | None, bool]] = {
    "nearest": ("nearest", 1, False),
    "nearest by rotation": ("nearest", 1, True),
    "4 nearest": ("nearest", 4, False),
    "random": ("random", None, False),
    "all": ("all", None, False),
}
"""How a model's inputs are chosen: which, how many, and whether by rotation alone."""
MOST = 10
"""Inputs that a model is given at once, at most."""


def read_scene(name: str, views: int = VIEWS) -> ViewSource | None:
    """A scene with at most so many held-out views; None if its data are not here."""
    source = SCENES.get(name, name)
    if "/" in source and not Path(source).exists():
        return None
    found = of_scene(source, LoadOptions())
    some = torch.tensor(evenly(views, len(found.held_out)))
    return ViewSource(found.name, found.known, found.held_out.select(some), False)


def field_of(inputs: Views, steps: int = STEPS, seed: int = 0) -> ur.Run:
    """A radiance field that is fitted to these views alone."""
    data = Dataset("inputs", inputs, inputs[:0])
    return ur.fit(FIELD, data, steps=steps, seed=seed, progress=False)


def rendered(run: ur.Run, truth: Views) -> Images:
    """A field's images from the held-out cameras."""
    renderer: Renderer = supersampled(run.renderer, 2)
    with torch.no_grad():
        return torch.cat([renderer(camera).rgba for camera in truth.cameras])


def ways(
    inputs: Views,
    truth: Views,
    models: Mapping[str, Fitted[Any]],
    steps: int = STEPS,
    seed: int = 0,
    scene: ur.Run | None = None,
) -> Iterator[tuple[str, Images]]:
    """Each way to make the held-out views, and its images.

    `scene` is a field fitted to all training views, if there is one.
    """
    assert inputs.ball is not None
    cameras, center, total = truth.cameras, inputs.ball[:3], len(inputs)
    for name, fitted in models.items():
        for way, (choice, count, rotation_only) in MODEL_WAYS.items():
            many = total if choice == "all" else count or 1
            # Of one input all ways are the same.
            if many > min(total, MOST) or (total == 1 and way != "nearest"):
                continue
            yield (
                f"{name}, {way}",
                generate_views(fitted, inputs, cameras, choice, count, rotation_only, seed),
            )
    yield "nearest input", nearest_inputs(inputs, cameras, center)
    if total > 1:
        by_rotation = nearest_inputs(inputs, cameras, center, rotation_only=True)
        yield "nearest input by rotation", by_rotation
    yield "mean of the inputs", mean_input(inputs, cameras)
    field = field_of(inputs, steps, seed)
    yield "field of the inputs", rendered(field, truth)
    yield "inputs warped by its depth", warped_inputs(inputs, cameras, field.renderer, center)
    if scene is not None:
        warped = warped_inputs(inputs, cameras, scene.renderer, center)
        yield "inputs warped by the scene's depth", warped
    yield "truth", truth.images


def rows(
    scene: ViewSource,
    models: Mapping[str, Fitted[Any]],
    counts: Sequence[int] = COUNTS,
    side: int = SIDE,
    steps: int = STEPS,
    seed: int = 0,
    lpips: LPIPS | None = None,
) -> Iterator[Row]:
    """Scores of all ways at all N, as they come. A scene with fewer views is given all it has.

    A row has `scene`, `inputs` (N), `way`, `psnr`, `ssim`, `lpips` if its weights are given,
    and `seconds`. PSNR of the truth is None, as no number is infinite in JSON.
    """
    truth = scene.truth(side)
    whole = field_of(scene.inputs(side), 2 * steps, seed)
    for count in sorted({min(count, len(scene.known)) for count in counts}):
        inputs = scene.inputs(side, count, seed)
        began = time.perf_counter()
        for way, images in ways(inputs, truth, models, steps, seed, whole):
            seconds = time.perf_counter() - began
            scores = score_novel_views(images, truth, lpips).to_json()
            numbers = {name: scores[name] for name in ("psnr", "ssim", "lpips")}
            yield {
                "scene": scene.name,
                "inputs": count,
                "way": way,
                **numbers,
                "seconds": round(seconds, 2),
            }
            began = time.perf_counter()


def shipped_models() -> dict[str, Fitted[Any]]:
    """The view models of the package, by their kinds."""
    found: dict[str, Fitted[Any]] = {}
    for kind in ("regression", "flow"):
        try:
            found[kind] = view_model(kind=kind)
        except InputError as error:
            print(f"without {kind}: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--run", nargs="*", type=Path, default=[])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--views", type=int, default=VIEWS)
    arguments = parser.parse_args()
    models = {run.name: view_model(run) for run in arguments.run} or shipped_models()
    sides = {fitted.image_size for fitted in models.values()} or {arguments.side}
    if len(sides) > 1:
        parser.error(f"models of {sides} pixels: give those of one size")
    side = sides.pop() or arguments.side
    for name in arguments.only:
        scene = read_scene(name, arguments.views)
        if scene is None:
            print(f"{name}: is not here")
            continue
        for row in rows(scene, models, arguments.counts, side, arguments.steps):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

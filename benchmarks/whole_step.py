"""A whole training step of instant-ngp, its parts, and rendering of the fitted scene."""

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest.mock import patch

import torch
from kernel_cases import all_kernels_on
from peers import nerfstudio
from record import Figures, figure
from timing import in_turn, peak_mb, seconds_of, synchronize

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.load import load_dataset
from unrender.data.views import Views
from unrender.evaluation.renders import render_in_parts
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.kernels.runtime.backend import implementation
from unrender.methods import instant_ngp
from unrender.training.fit import FitOptions
from unrender.training.run_folder import RunFolder

UPDATE_EVERY = 16
"""Steps between updates of the occupancy grid; multiples of it are timed."""


def measure_training(options: argparse.Namespace) -> tuple[Figures, dict[str, float], Any]:
    """Rays/s once the occupancy grid has settled, relative to the reference; and rendering."""
    bounds = {
        "train_rays_per_second": ("rays/s", 250e3),
        "train_speedup": ("×", 10),
        "train_over_nerfstudio": ("×", 200),
        "render_rays_per_second": ("rays/s", 1e6),
    }
    if not options.data.is_dir():
        gone = {
            name: figure(None, unit, f"no data at {options.data}", at_least=bound)
            for name, (unit, bound) in bounds.items()
        }
        return gone, {}, {}
    settle, window = (2, 1) if options.quick else (30, 10)
    budget = FitOptions(
        minutes=(settle + window) / 60, seed=options.seed, device=options.device
    )
    scene = load_dataset(str(options.data))
    method = instant_ngp.InstantNGP()
    if options.quick:
        method = dataclasses.replace(method, samples=1 << 12, occupancy_cells=64)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with counted_rays(options.device) as batches:
            opened = fit_to(method, scene, budget, out=out, progress=False)
            steps = opened.steps
        settled = [batch for batch in batches if batch[0] - batches[0][0] >= settle]
        rays = sum(count for _, count in settled[:-1]) / (settled[-1][0] - settled[0][0])
        again = partial(_more_steps, method, out, steps, scene, options)
        # The reference runs between two runs of the kernels, under the same conditions.
        before, reference, after = again(), again(reference=True), again()
        parts = again(parts=True, rounds=2 if options.quick else 8)
    speedup = 2 * reference["step"] / (before["step"] + after["step"])
    test = scene.test.select(torch.arange(1)) if options.quick else scene.test
    seconds = [_render_seconds(opened, test) for _ in range(3)]
    pixels = len(test) * test.cameras.width * test.cameras.height
    values = {
        "train_rays_per_second": rays,
        "train_speedup": speedup,
        "render_rays_per_second": pixels / min(seconds),
    }
    figures = {
        name: figure(values[name], unit, at_least=bound)
        for name, (unit, bound) in bounds.items()
        if name in values
    }
    both = (before["step"], after["step"])
    figures["train_noise"] = figure(max(both) / min(both), "slower over faster")
    peer = nerfstudio(options.data, options.device, [20], evaluate=False)
    reason = peer.get("absent")
    figures["train_over_nerfstudio"] = figure(
        None if reason else rays / peer["rays_per_second"], "×", reason, at_least=200
    )
    return figures, parts, {"image side": {"render": _render_growth(opened, test, options)}}


@contextmanager
def counted_rays(device: str) -> Generator[list[tuple[float, int]]]:
    """Time and size of each batch of rays."""
    batches: list[tuple[float, int]] = []
    draw = Views.sample_pixels

    def counted(views: Views, count: int, generator: torch.Generator) -> Any:
        synchronize(device)
        batches.append((time.perf_counter(), count))
        return draw(views, count, generator)

    with patch.object(Views, "sample_pixels", counted):
        yield batches


def _more_steps(
    method: instant_ngp.InstantNGP,
    run: Path,
    steps: int,
    scene: Any,
    options: argparse.Namespace,
    reference: bool = False,
    parts: bool = False,
    rounds: int = 1,
) -> dict[str, float]:
    """Seconds of a step, optionally by part, over the same next steps of a run."""
    copy = run.with_name("again")
    shutil.copytree(run, copy)
    # Steps are delimited by batches, so one more step ends the last one.
    budget = FitOptions(steps=steps + UPDATE_EVERY * rounds + 1, device=options.device)
    watch = Stopwatch(options.device)
    with (
        all_kernels_on("reference") if reference else nullcontext(),
        watch.on_parts() if parts else nullcontext(),
        counted_rays(options.device) as batches,
    ):
        fit_to(method, scene, budget, record=RunFolder.open(copy), progress=False)
    shutil.rmtree(copy)
    whole = (batches[-1][0] - batches[0][0]) / (len(batches) - 1)
    found = watch.between(batches[0][0], batches[-1][0])
    each = {name: seconds / (len(batches) - 1) for name, seconds in found.items()}
    return {"step": whole, **each, **({"other": whole - sum(each.values())} if parts else {})}


class Stopwatch:
    """Time spent in named functions; nested calls count for the outermost."""

    def __init__(self, device: str):
        self.device = device
        self.spans: list[tuple[str, float, float]] = []
        self.inside = False

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time recorded."""

        def run(*arguments: Any, **named: Any) -> Any:
            if self.inside:
                return function(*arguments, **named)
            self.inside = True
            synchronize(self.device)
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                synchronize(self.device)
                self.spans.append((name, began, time.perf_counter()))
                self.inside = False

        return run

    @contextmanager
    def on_parts(self) -> Generator[None]:
        """Record the parts of a training step of instant-ngp."""
        watched: list[tuple[Any, str, str]] = [
            (torch.optim.Adam, "step", "Adam"),
            (OccupancyGrid, "update", "occupancy"),
            (Views, "sample_pixels", "batch"),
        ]
        where = torch.empty(0, device=self.device)
        for name, function in vars(instant_ngp).items():
            package = getattr(function, "__module__", None) or ""
            # A kernel is a package of implementations; threads are a plain module.
            is_kernel = package.startswith("unrender.kernels.") and hasattr(
                sys.modules[package], "__path__"
            )
            if isinstance(function, FunctionType) and is_kernel:
                watched.append((instant_ngp, name, f"{name} forward"))
                module = implementation(package, "auto", where)
                for value in vars(module).values():
                    if isinstance(value, type) and value.__module__ == module.__name__:
                        watched.append((value, "backward", f"{name} backward"))
        with ExitStack() as stack:
            for owner, attribute, name in watched:
                kept = vars(owner)[attribute]
                plain = kept.__func__ if isinstance(kept, staticmethod) else kept
                timed = self.timed(name, plain)
                new = staticmethod(timed) if isinstance(kept, staticmethod) else timed
                stack.enter_context(patch.object(owner, attribute, new))
            yield

    def between(self, first: float, last: float) -> dict[str, float]:
        """Seconds by name of the spans that started within an interval."""
        found: dict[str, float] = {}
        for name, began, ended in self.spans:
            if first <= began < last:
                found[name] = found.get(name, 0.0) + ended - began
        return found


def _render_seconds(opened: Run, views: Views) -> float:
    return seconds_of(partial(render_in_parts, opened.renderer, views.cameras), "cpu")


def _render_growth(
    opened: Run, views: Views, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Time and memory of one image, by its side in pixels."""
    rows: list[dict[str, Any]] = []
    one = views.cameras.select(slice(0, 1))
    for side in (25, 50, 100) if options.quick else (50, 100, 200, 400, 800, 1600):
        run = partial(render_in_parts, opened.renderer, one.resized(side, side))
        (times,) = in_turn([run], options.device, 1)
        rows.append(
            {"at": side, "seconds": min(times), "peak_mb": peak_mb(run, options.device)}
        )
    return rows

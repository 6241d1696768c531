"""The pose flow on a Blender scene: images from poses, poses from images, and baselines.

    python benchmarks/pose_flow.py [--data FOLDER] [--only NAME ...] [--work FOLDER] [--quick]

Fits the scene, renders views of it, trains the flow and its baselines for the same time each,
and evaluates all of them on the scene's test views, downscaled to 32×32 pixels, over white.
Parts: flow, pose-regressor, sit-gaussian, sit-plain, look-up, speed. With --work the runs are
kept and reused by later calls, so that the measurement can be split.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest.mock import patch

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import record
import tables
import torch
from plain_step import PlainOptimizer, attention_by_formula, follow, patches_by_convolution
from record import ROOT, Figures, figure
from timing import in_turn

from unrender.api.pose import refine
from unrender.api.resume import fit_or_open
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.formats.npz import load_npz, save_npz
from unrender.data.load import load_dataset
from unrender.data.make_views import make_views
from unrender.data.views import Views
from unrender.evaluation.images import ImageScores, score_images
from unrender.evaluation.lookup import (
    nearest_view_estimator,
    nearest_view_renderer,
    random_pose_estimator,
)
from unrender.evaluation.poses import PoseScores, score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.flows import transformer
from unrender.geometry.bounds import camera_statistics
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.kernels.runtime.process import keep_freed_memory
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.presets import PRESETS
from unrender.methods.sit import PoseFlow, SiTFlow
from unrender.rendering.renderer import PoseEstimate, Renderer, supersampled
from unrender.studies.reconstruction import sampled
from unrender.training.fit import FitOptions
from unrender.training.method import Progress

SIZE, SUPERSAMPLE = 32, 3
PARTS = ("flow", "pose-regressor", "sit-gaussian", "sit-plain", "look-up", "speed")
SPEED_ROUNDS = 30
RESULTS = ROOT / "benchmarks/results/pose_flow.json"
"""Results of the page's tables."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Data and settings of all parts."""

    scene: Dataset
    fitted: Run
    views: Views
    work: Path
    minutes: float
    seed: int

    def trained(self, name: str) -> Run:
        """The method's run, trained now or by an earlier call, or resumed."""
        print(f"== {name}: {self.minutes:g} minutes, unless it is there", flush=True)
        options = FitOptions(minutes=self.minutes, seed=self.seed, device="cpu")
        views = Dataset(self.scene.name, self.views, self.views)
        return fit_or_open(PRESETS[name].method(), views, options, self.work / name)

    @property
    def test(self) -> Views:
        return self.scene.test.resized(SIZE, SIZE)

    def quality(self, renderer: Renderer) -> ImageScores:
        """Scores of images rendered at the test poses."""
        made = render_in_parts(renderer, self.test.cameras).over(WHITE).clamp(0, 1)
        return score_images(made, self.test.over(WHITE).clamp(0, 1))

    def errors(self, found: PoseEstimate) -> PoseScores:
        return score_poses(found.cameras, self.scene.test.cameras)


def main() -> None:
    """Measure the selected parts, and merge the results into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=record.LEGO, help="Blender folder")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="parts, by default all")
    parser.add_argument("--work", type=Path, help="folder that keeps the runs")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training each")
    parser.add_argument("--views", type=int, default=8000, help="number of training views")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="train for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes, arguments.views = 0.2, 300
    keep_freed_memory()
    began = time.perf_counter()
    figures: Figures = dict(record.read(arguments.out).get("figures", {}))
    with tempfile.TemporaryDirectory() as folder:
        bench = prepared(arguments, arguments.work or Path(folder))
        for name in arguments.only or PARTS:
            found = RUN[name](bench)
            figures.update({key: dict(value) for key, value in found.items()})
            if arguments.quick:
                figures = {key: without_bounds(value) for key, value in figures.items()}
            record.write(
                arguments.out, arguments.seed, time.perf_counter() - began, figures,
                minutes=arguments.minutes, views=arguments.views,
            )  # fmt: skip
            record.show(found)
    if not arguments.quick and arguments.out == RESULTS:
        tables.rewrite("pose_flow")


def without_bounds(one: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in one.items() if key not in record.BOUNDS}


def prepared(arguments: argparse.Namespace, work: Path) -> Bench:
    """The fitted scene and rendered views, as in `unrender demo`."""
    scene = load_dataset(str(arguments.data))
    minutes = 0.2 if arguments.quick else 3.0
    folder, file = work / "scene", work / "views.npz"
    print(f"== scene: {minutes:g} minutes, unless it is there", flush=True)
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    fitted = fit_or_open(InstantNGP(), scene, options, folder)
    if not file.exists():
        radius, elevation = camera_statistics(scene.train.cameras)
        generator = torch.Generator().manual_seed(arguments.seed)
        poses = spherical_shell(arguments.views, radius, generator, elevation)
        intrinsics = scene.train.cameras.intrinsics[:1].expand(len(poses), 3, 3)
        size = scene.train.cameras.width, scene.train.cameras.height
        cameras = Cameras(poses, intrinsics, *size).resized(SIZE, SIZE)
        print(f"== {arguments.views} views", flush=True)
        save_npz(file, make_views(fitted.renderer, cameras, SUPERSAMPLE))
    return Bench(scene, fitted, load_npz(file), work, arguments.minutes, arguments.seed)


def image_figures(prefix: str, scores: ImageScores, **bound: float) -> Figures:
    return {
        f"{prefix}psnr": figure(scores.mean_psnr, "dB", **bound),
        f"{prefix}ssim": figure(scores.mean_ssim, ""),
    }


def pose_figures(prefix: str, scores: PoseScores) -> Figures:
    return {
        f"{prefix}rotation_deg_median": figure(scores.rotation_deg_median, "degrees"),
        f"{prefix}rotation_deg_mean": figure(scores.rotation_deg_mean, "degrees"),
        f"{prefix}translation_percent_median": figure(
            scores.translation_percent_median, "percent of the radius"
        ),
        f"{prefix}under_5deg": figure(scores.under_5deg, "share"),
    }


def run_flow(bench: Bench) -> Figures:
    """The flow in both directions, and its poses refined on the scene."""
    flow = bench.trained("sit")
    images = bench.scene.test.rgba
    quality = {n: bench.quality(flow.with_options(image_steps=n).renderer) for n in (1, 4, 50)}
    assert isinstance(flow.method, SiTFlow)
    chosen = quality[flow.method.image_steps]
    mode = timed(lambda: flow.fitted.estimate_poses(images))
    read = timed(lambda: flow.with_options(refine_steps=0).fitted.estimate_poses(images))
    test = bench.scene.test
    refined = timed(
        lambda: refine(bench.fitted, test.opaque, mode[0], test.background, RenderAndCompare())
    )
    scores = bench.errors(mode[0])
    pose = pose_figures("", scores)
    pose["rotation_deg_median"]["at_most"] = 0.6
    pose["under_5deg"]["at_least"] = 1.0
    fine = pose_figures("refined_", bench.errors(refined[0]))
    fine["refined_rotation_deg_median"]["at_most"] = 0.1
    expected = mode[0].rotation_error.rad2deg()
    scene = bench.quality(supersampled(bench.fitted.renderer, SUPERSAMPLE))
    steps = flow.steps
    return {
        "psnr_mean_start": figure(chosen.mean_psnr, "dB", at_least=26.5),
        "ssim_mean_start": figure(chosen.mean_ssim, ""),
        **{f"psnr_{n}_steps": figure(q.mean_psnr, "dB") for n, q in quality.items()},
        "psnr_sampled_start": figure(bench.quality(sampled(flow, bench.seed)).mean_psnr, "dB"),
        "scene_psnr": figure(scene.mean_psnr, "dB"),
        **pose,
        "expected_rotation_deg_median": figure(expected.quantile(0.5).item(), "degrees"),
        **pose_figures("one_step_", bench.errors(read[0])),
        **fine,
        "pose_seconds": figure(mode[1] / len(images), "s a view"),
        "refine_seconds": figure(refined[1] / len(images), "s a view"),
        "train_steps": figure(steps, "steps"),
    }


def run_regressor(bench: Bench) -> Figures:
    """Baseline: the same transformer, from images directly to poses."""
    found = bench.trained("pose-regressor").fitted.estimate_poses(bench.scene.test.rgba)
    return pose_figures("control_regressor_", bench.errors(found))


def run_gaussian(bench: Bench) -> Figures:
    """Baseline: the same transformer from Gaussian noise, conditioned on the pose."""
    return image_figures(
        "control_gaussian_", bench.quality(bench.trained("sit-gaussian").renderer)
    )


def run_plain(bench: Bench) -> Figures:
    """Baseline: the same transformer with textbook flow matching."""
    flow = bench.trained("sit-plain")
    images = bench.scene.test.rgba
    many, one = flow.fitted, flow.with_options(inversion_steps=1).fitted
    return {
        **image_figures("control_plain_", bench.quality(flow.renderer)),
        "control_plain_psnr_sampled_start": figure(
            bench.quality(sampled(flow, bench.seed)).mean_psnr, "dB"
        ),
        **pose_figures("control_plain_", bench.errors(many.estimate_poses(images))),
        **pose_figures("control_plain_one_step_", bench.errors(one.estimate_poses(images))),
    }


def run_look_up(bench: Bench) -> Figures:
    """Baselines without training: the nearest view in both directions, and a random pose."""
    images = bench.scene.test.rgba
    nearest = nearest_view_estimator(bench.views)(images)
    generator = torch.Generator().manual_seed(bench.seed)
    anywhere = random_pose_estimator(bench.views.cameras, generator)(images)
    return {
        "nearest_view_psnr": figure(
            bench.quality(nearest_view_renderer(bench.views)).mean_psnr, "dB"
        ),
        **pose_figures("control_nearest_view_", bench.errors(nearest)),
        **pose_figures("control_random_", bench.errors(anywhere)),
    }


def run_speed(bench: Bench) -> Figures:
    """A training step of the library against a plain implementation, in turn."""
    method = PRESETS["sit"].method()
    assert isinstance(method, SiTFlow)
    ours, plain, without = (
        stepper(method, bench.views, bench.seed),
        plain_stepper(method, bench.views, bench.seed),
        plain_stepper(dataclasses.replace(method, muon=False), bench.views, bench.seed),
    )
    steps = [step for step, _ in (ours, plain, without)]
    times = in_turn(steps, "cpu", 0.0, least=SPEED_ROUNDS)
    pairs = [b / a for a, b in zip(times[0], times[1], strict=True)]
    adam = [b / a for a, b in zip(times[0], times[2], strict=True)]
    return {
        "train_step_speedup": figure(median(pairs), "×", at_least=1.4),
        "train_step_speedup_over_plain_adamw": figure(median(adam), "×"),
        "train_step_ms": figure(1000 * median(times[0]), "ms"),
        "plain_step_ms": figure(1000 * median(times[1]), "ms"),
        "plain_adamw_step_ms": figure(1000 * median(times[2]), "ms"),
    }


Stepper = tuple[Callable[[], None], PoseFlow]
"""A function that takes a training step, and the model that it trains."""


def stepper(method: SiTFlow, views: Views, seed: int) -> Stepper:
    """Training steps of the library."""
    generator = torch.Generator().manual_seed(seed)
    model = method.build(views, generator)
    optimizer = method.optimizer(model)
    state = [0]

    def step() -> None:
        progress = Progress(state[0], 0.1)
        optimizer.zero_grad(set_to_none=True)
        method.losses(model, views, progress, generator)["velocity"].backward()
        optimizer.step()
        method.after_step(model, optimizer, progress)
        state[0] += 1

    return step, model


def plain_stepper(method: SiTFlow, views: Views, seed: int) -> Stepper:
    """Training steps of the plain implementation, in float32."""
    method = dataclasses.replace(method, precision="float32")
    generator = torch.Generator().manual_seed(seed)
    model: PoseFlow = method.build(views, generator)
    matrices = model.network.matrices() if method.muon else []
    chosen = set(map(id, matrices))
    others = [p for p in model.network.parameters() if id(p) not in chosen]
    optimizer = PlainOptimizer(
        matrices, others, method.learning_rate, method.weight_decay, method.max_norm
    )
    state = [0]

    def step() -> None:
        progress = Progress(state[0], 0.1)
        optimizer.zero_grad(set_to_none=True)
        with (
            patch.object(transformer.PatchEmbedder, "forward", patches_by_convolution),
            patch.object(transformer.Attention, "forward", attention_by_formula),
        ):
            method.losses(model, views, progress, generator)["velocity"].backward()
        optimizer.step()
        follow(model.average, model.network, method.kept(progress))
        state[0] += 1

    return step, model


def timed(run: Callable[[], PoseEstimate]) -> tuple[PoseEstimate, float]:
    began = time.perf_counter()
    return run(), time.perf_counter() - began


RUN: dict[str, Callable[[Bench], Figures]] = {
    "flow": run_flow,
    "pose-regressor": run_regressor,
    "sit-gaussian": run_gaussian,
    "sit-plain": run_plain,
    "look-up": run_look_up,
    "speed": run_speed,
}


if __name__ == "__main__":
    sys.exit(main())

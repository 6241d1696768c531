"""Light-field neural rendering against radiance fields and against interpolation.

    python benchmarks/light_fields.py [--only PART ...] [--minutes 15] [--work FOLDER] [--quick]

Each part is a fit to one scene: `between` is a grid of 9×9 cameras, judged by 16 views between
them, and `shiny` the built-in scene of metal, glass and a hologram. `between-quadrilinear` is
interpolation, with its focal plane at the depth that predicts training views best. Parts are
merged into benchmarks/results/light_fields.json.
"""

import argparse
import json
import resource
from pathlib import Path

import record
import tables
from record import ROOT, Figures, figure
from runs import fitted_in, in_own_process

from unrender.data.builtin.shiny import MATERIALS, shiny_materials
from unrender.data.dataset import Dataset
from unrender.data.load import load_dataset
from unrender.evaluation.light_fields import best_focus, quadrilinear
from unrender.evaluation.renders import ImageEvaluation, evaluate_images
from unrender.geometry.cameras import Cameras
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.presets import find_preset
from unrender.rendering.renderer import Rendering
from unrender.training.fit import FitOptions

RESULTS = ROOT / "benchmarks/results/light_fields.json"
SCENES = {
    "between": str(ROOT.parent / "shared/data/light_field/junk_shop_480"),
    "shiny": "shiny",
}
OURS, FIELD, BASELINE = "light-field-fast", "instant-ngp-capture", "quadrilinear"
RIVALS = {
    "between": (FIELD,),
    "shiny": (FIELD, "gaussian-splatting-fast", "nerfacto-fast", "mip-nerf-360-fast"),
}
"""Radiance fields that each scene is fitted by as well."""
PARTS = [
    *(f"{scene}-{name}" for scene, names in RIVALS.items() for name in (OURS, *names)),
    f"between-{BASELINE}",
]
LEAST = {"light_field_gain": 1.0, "light_field_gain_over_quadrilinear": 3.0, "shiny_gain": 1.5}
"""Acceptance bounds, in dB."""
MEMORY_GB = 4.0


def main() -> None:
    """Measure the selected parts, each in a process of its own, for its peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=15.0, help="of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/light_fields")
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
        tables.rewrite("light_fields")


def measured(part: str, arguments: argparse.Namespace) -> Figures:
    """The figures of one part, and the gains that they make complete."""
    found = in_own_process(__file__, part, arguments, ("minutes", "seed", "work"))
    return found | gains({**record.read(arguments.out).get("figures", {}), **found})


def gains(figures: Figures) -> Figures:
    """Differences between the fits that have been measured, and their largest peak memory."""

    def psnr(scene: str, name: str) -> float | None:
        return figures.get(f"{scene}_{name}_psnr", {}).get("value")

    found: Figures = {}
    for key, scene, others in (
        ("light_field_gain", "between", RIVALS["between"]),
        ("light_field_gain_over_quadrilinear", "between", (BASELINE,)),
        ("shiny_gain", "shiny", RIVALS["shiny"]),
    ):
        ours, rivals = psnr(scene, OURS), [psnr(scene, name) for name in others]
        known = [value for value in rivals if value is not None]
        if ours is not None and len(known) == len(rivals):
            found[key] = figure(ours - max(known), "dB", at_least=LEAST[key])
    peaks = [each["value"] for key, each in figures.items() if key.endswith("_memory_gb")]
    if peaks:
        found["largest_memory"] = figure(max(peaks), "GB", at_most=MEMORY_GB)
    return found


def measure(part: str, arguments: argparse.Namespace) -> Figures:
    """The figures of one fit, or of interpolation."""
    scene, name = part.split("-", 1)
    data = load_dataset(SCENES[scene])
    key = f"{scene}_{name}"
    if name == BASELINE:
        return interpolated(key, data)
    options = FitOptions(minutes=arguments.minutes, seed=arguments.seed, device="cpu")
    run = fitted_in(arguments.work / part, find_preset(name).method(), data, options)
    found = evaluate_images(run.renderer, data.test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    materials = by_material(key, found) if scene == "shiny" else {}
    return materials | {
        f"{key}_psnr": figure(found.scores.mean_psnr, "dB"),
        f"{key}_ssim": figure(found.scores.mean_ssim, ""),
        f"{key}_steps": figure(run.steps, "steps"),
        f"{key}_image_seconds": figure(found.seconds / len(data.test), "s"),
        f"{key}_memory_gb": figure(peak, "GB"),
    }


def by_material(key: str, found: ImageEvaluation) -> Figures:
    """PSNR of the pixels that show each material of the shiny scene."""
    seen = shiny_materials(found.views.cameras)
    return {
        f"{key}_{name}_psnr": figure(found.psnr_of_pixels(seen == k), "dB")
        for k, name in enumerate(MATERIALS)
        if bool((seen == k).any())
    }


def interpolated(key: str, data: Dataset) -> Figures:
    """The figures of quadrilinear interpolation."""
    focus = best_focus(data.train)

    def render(cameras: Cameras) -> Rendering:
        rgba = quadrilinear(data.train, cameras, focus)
        return Rendering(rgba[..., :3], rgba[..., 3], rgba[..., 3] * focus)

    found = evaluate_images(render, data.test)
    return {
        f"{key}_psnr": figure(found.scores.mean_psnr, "dB"),
        f"{key}_ssim": figure(found.scores.mean_ssim, ""),
        f"{key}_image_seconds": figure(found.seconds / len(data.test), "s"),
    }


if __name__ == "__main__":
    main()

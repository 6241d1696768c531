"""The main job on real captures: every figure of it, on held-out photographs.

    python benchmarks/real_captures.py [--only PART ...] [--minutes 4] [--work FOLDER] [--quick]

Parts: demos (`unrender demo` on four captures, 10 minutes each), auto (`fit auto` against the
other presets), poses (refined from the true pose of held-out photographs), export (meshes),
film (photographs without cameras to a film, by three commands), sizes (a scene of two image
sizes against the same views cropped to one) and memory (of views at their full size).
Each is merged into benchmarks/results/real_captures.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import real_captures_poses
import real_captures_sizes
import record
import tables
from record import ROOT, Figures, figure
from runs import fitted_in

from unrender.api.automatic import choice_for
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.evaluation.renders import evaluate_images
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.presets import find_preset
from unrender.shapes.components import face_components
from unrender.shapes.mesh import Mesh
from unrender.training.fit import FitOptions

RESULTS = ROOT / "benchmarks/results/real_captures.json"
DATA = ROOT.parent / "shared/data"
PHOTOGRAPHS = DATA / "real_scenes/mouse_colmap/images_half"
DEMOS = {
    "fern": "real_scenes/fern_llff",
    "mouse": "real_scenes/mouse_colmap",
    "scan65": "dtu/scan65_400x300",
    "truck": "co3d/toytruck_160x90",
}
DEMO_MINUTES = 8.0
"""`--minutes` of the demos, which with all that is around the fits end within ten minutes."""
FILM_MINUTES = 2.0
"""`--minutes` of the fit between the photographs and the film."""
POSES, POSED = ("mouse", "fern", "scan65"), "gaussian-splatting-fast"
"""Scenes whose held-out photographs are refined, and the preset that is fitted to them."""
SCENES = {
    "lego_200": ("nerf_synthetic/lego_200", 1),
    "mouse": ("real_scenes/mouse_colmap", 2),
    "fern": ("real_scenes/fern_llff", 1),
    "scan65": ("dtu/scan65_400x300", 1),
}
"""Folder of each scene, and the factor by which its photographs are made smaller."""
HOLD_OUT = 8
"""Every eighth photograph is held out, where the scene has no test views of its own."""
RIVALS = {
    "lego_200": ("instant-ngp-fast", "gaussian-splatting-fast", "dvgo-fast"),
    "mouse": ("gaussian-splatting-fast", "instant-ngp-capture", "nerfacto-fast"),
    "fern": ("instant-ngp-capture", "nerfacto-fast", "gaussian-splatting-fast"),
    "scan65": ("instant-ngp-fast", "dvgo-fast", "gaussian-splatting-fast"),
}
"""Presets that `auto` is compared with: those that did best in captures.json and
radiance_fields.json."""


def main() -> None:
    """Measure the selected parts, each merged into the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=4.0, help="of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/real_captures")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.minutes = 0.1
    arguments.work.mkdir(parents=True, exist_ok=True)
    prepare_process()
    record.merge(PARTS, arguments)
    if not arguments.quick and arguments.out == RESULTS:
        tables.rewrite("captures")


def run(*words: str | Path) -> float:
    """Seconds that a command of the library takes. Raises CalledProcessError if it fails."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "unrender", *map(str, words)], check=True)
    return time.perf_counter() - began


def demos(arguments: argparse.Namespace) -> Figures:
    """Which captures `unrender demo` takes to its report, and what its pose flow is worth."""
    figures: Figures = {}
    reports = 0
    for name, folder in DEMOS.items():
        out = arguments.work / f"demo-{name}"
        shutil.rmtree(out, ignore_errors=True)
        minutes = 1.0 if arguments.quick else DEMO_MINUTES
        budget = ("--minutes", f"{minutes:g}", "--seed", f"{arguments.seed}")
        seconds = run("demo", "--data", DATA / folder, "--out", out, *budget)
        reports += (out / "report.html").is_file()
        summary = json.loads((out / "summary.json").read_text())
        details = json.loads((out / "details.json").read_text())
        flow, pose = summary["flow"]["psnr_mean_start"], summary["pose"]
        figures |= {
            f"demo_{name}_seconds": figure(seconds, "s"),
            f"demo_{name}_scene_psnr": figure(summary["fit"]["psnr"], "dB"),
            f"flow_over_nearest_db_{name}": figure(flow - details["nearest_view_psnr"], "dB"),
            f"flow_rotation_deg_median_{name}": figure(pose["rotation_deg_median"], "°"),
            f"flow_refined_rotation_deg_median_{name}": figure(
                pose["refined_rotation_deg_median"], "°"
            ),
        }
    return {"demo_reports": figure(reports, "", at_least=len(DEMOS)), **figures}


def auto(arguments: argparse.Namespace) -> Figures:
    """Held-out PSNR of what `auto` chooses, and of the presets that rival it."""
    figures: Figures = {}
    worst = 0.0
    for name, (folder, downscale) in SCENES.items():
        scene = read(folder, downscale)
        chosen = choice_for(scene).preset
        found: dict[str, float] = {}
        for preset in dict.fromkeys((chosen, *RIVALS[name])):
            opened = fitted(f"{name}-{preset}", preset, scene, arguments)
            score = evaluate_images(opened.renderer, scene.test).scores.mean_psnr
            found[preset] = score
            figures[f"auto_{name}_{preset}_psnr"] = figure(score, "dB")
        gap = max(found.values()) - found[chosen]
        figures[f"auto_{name}_gap_db"] = figure(gap, "dB")
        worst = max(worst, gap)
    return {"auto_gap_db": figure(worst, "dB", at_most=0.3), **figures}


def read(folder: str, downscale: int = 1) -> Dataset:
    """A scene with its own test views, or with every eighth photograph held out."""
    options = LoadOptions(downscale=downscale, hold_out=HOLD_OUT)
    return load_dataset(str(DATA / folder), options)


def fitted(name: str, preset: str, scene: Dataset, arguments: argparse.Namespace) -> Run:
    """A fit of this many minutes, which a later call finds again."""
    options = FitOptions(minutes=arguments.minutes, seed=arguments.seed, device="cpu")
    return fitted_in(arguments.work / name, find_preset(preset).method(), scene, options)


def export(arguments: argparse.Namespace) -> Figures:
    """Seconds of `unrender export` to a .glb, and faces outside its largest component."""
    figures: Figures = {}
    stray = 0
    for name, preset, data in (
        ("bricks", "instant-ngp-fast", load_dataset("bricks")),
        ("mouse", "gaussian-splatting-fast", read(*SCENES["mouse"])),
    ):
        opened = fitted(f"{name}-{preset}", preset, data, arguments)
        assert opened.path is not None, "fitted into a folder"
        file = opened.path / "mesh.glb"
        file.unlink(missing_ok=True)
        seconds = run("export", opened.path, file)
        mesh = Mesh.load(file)
        stray += int((face_components(mesh) > 0).sum())
        figures[f"export_seconds_{name}"] = figure(seconds, "s", at_most=60)
        figures[f"export_faces_{name}"] = figure(len(mesh.faces), "faces")
    return {**figures, "export_stray_faces": figure(stray, "faces", at_most=0)}


def film(arguments: argparse.Namespace) -> Figures:
    """Seconds from photographs without cameras to a film: process, fit auto, render."""
    out = arguments.work / "film"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    minutes = 0.1 if arguments.quick else FILM_MINUTES
    scene, model = out / "scene", out / "run"
    seconds = (
        run("process", PHOTOGRAPHS, "--out", scene),
        run("fit", "auto", "--data", scene, "--minutes", f"{minutes:g}", "--out", model),
        run("render", model, "--out", out / "film.mp4"),
    )
    return {
        "photos_to_film_seconds": figure(sum(seconds), "s", at_most=300),
        "photos_to_film_process_seconds": figure(seconds[0], "s"),
        "photos_to_film_fit_seconds": figure(seconds[1], "s"),
        "photos_to_film_render_seconds": figure(seconds[2], "s"),
    }


def poses(arguments: argparse.Namespace) -> Figures:
    """Errors of poses refined from the true ones of held-out photographs, and calibration."""
    figures: Figures = {}
    medians, worse = list[float](), list[float]()
    scenes = {name: read(*SCENES[name]) for name in POSES}
    for name, preset in POSES.items():
        scene, opened = (
            scenes[name],
            fitted(f"{name}-{preset}", preset, scenes[name], arguments),
        )
        found = real_captures_poses.pose_figures(opened, scene)
        others = [
            view.opaque[0]
            for other, dataset in scenes.items()
            if other != name
            for view in dataset.test.select(slice(0, 3))
        ]
        found |= real_captures_poses.told_apart(opened, scene, others)
        figures |= {
            f"{key}_{name}": figure(value, unit_of(key)) for key, value in found.items()
        }
        medians.append(found["pose_deg_median"])
        worse.append(found["pose_worse_share"])
    return {
        "pose_deg_median": figure(max(medians), "°", at_most=0.5),
        "pose_worse_share": figure(max(worse), "", at_most=0.0),
        **figures,
    }


def unit_of(key: str) -> str:
    """The unit of a figure of poses."""
    units = {"_deg_": "°", "_percent_": "%", "_seconds": "s"}
    return next((unit for part, unit in units.items() if part in key), "")


def sizes(arguments: argparse.Namespace) -> Figures:
    """Fits to views of two sizes against fits to the part that they have in common."""
    full = real_captures_sizes.STEPS, real_captures_sizes.SEEDS
    steps, count = (30, 1) if arguments.quick else full
    seeds = range(arguments.seed, arguments.seed + count)
    return real_captures_sizes.sizes(arguments.work, steps, seeds)


def memory(_arguments: argparse.Namespace) -> Figures:
    """Megabytes of 100 views of 1920×1080."""
    return real_captures_sizes.memory()


PARTS = {
    "demos": demos,
    "auto": auto,
    "poses": poses,
    "export": export,
    "film": film,
    "sizes": sizes,
    "memory": memory,
}


if __name__ == "__main__":
    main()

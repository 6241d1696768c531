"""Accuracy of fields fitted to shapes, by target and by kind of field.

    python benchmarks/field_shapes.py [--minutes 3] [--kind-minutes 1] [--work FOLDER]
                                      [--pictures FOLDER] [--only bunny cow clouds kinds memory]

`measure` is the part "sdf" of benchmarks/fields_surfaces.py. Chamfer distances are the mean of
both directions, from points of one surface to the other surface itself, in percent of the
diagonal of the true mesh's bounding box; IoU of volumes is estimated by random points in it.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import record
import torch
from record import ROOT
from runs import fitted_in, images, mesh_of

from unrender.api.run import Run
from unrender.data.shape_target import ShapeTarget
from unrender.evaluation.solids import SolidScores, score_solid
from unrender.fields.field import FIELD_KINDS
from unrender.methods.fit_occupancy import OccupancyFit
from unrender.methods.fit_sdf import SDFFit
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.report.pictures import write_picture
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.training.field_fit import FieldFit
from unrender.training.fit import FitOptions
from unrender.training.run_folder import RunFolder

MESHES = ROOT.parent / "shared/data/meshes"
TARGETS = {"bunny": MESHES / "stanford-bunny.obj", "cow": MESHES / "spot_textured/cow.obj"}
POINTS = 10_000
"""Number of points sampled from the bunny."""
SCORED = 50_000
NETWORKS = ("mlp", "encoding", "fourier", "siren")
NETWORK_BATCH = 2048
"""Batch size of large networks, smaller so that more steps fit into the time."""
Row = tuple[str, torch.Tensor]


def fitted(
    name: str,
    method: FieldFit,
    target: ShapeTarget,
    arguments: argparse.Namespace,
    minutes: float,
) -> Run:
    """The finished run of that name, or a new one."""
    out = arguments.work / f"field-{name}"
    if out.exists() and RunFolder.open(out).finished:
        return Run.open(out, "cpu")
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    return fitted_in(out, method, target, options, progress=False)


def scored(
    name: str, opened: Run, truth: Mesh, seconds: bool = True
) -> tuple[record.Figures, SolidScores]:
    """Metrics of one fit; their names begin with `name`."""
    generator = torch.Generator().manual_seed(1)
    mesh = mesh_of(opened)
    scores = score_solid(mesh, truth, SCORED, generator)
    figures = {
        f"{name}_chamfer_percent": record.figure(scores.chamfer_percent, "% of diagonal"),
        f"{name}_iou": record.figure(scores.iou, ""),
        f"{name}_normal_consistency": record.figure(scores.normal_consistency, ""),
    }
    if isinstance(opened.method, SDFFit):
        model: Any = opened.model
        rms = opened.method.eikonal(model, SCORED, generator)
        figures[f"{name}_eikonal_rms"] = record.figure(rms, "")
    if seconds:
        figures[f"{name}_steps"] = record.figure(opened.steps, "steps")
    return figures, scores


def bunny(arguments: argparse.Namespace) -> record.Figures:
    """The bunny as a signed distance and as an occupancy, for the same time."""
    return _mesh(arguments, "bunny", "sdf", SDFFit(), bounds=True) | _mesh(
        arguments, "bunny", "occupancy", OccupancyFit()
    )


def cow(arguments: argparse.Namespace) -> record.Figures:
    """The cow, which is a closed mesh."""
    return _mesh(arguments, "cow", "sdf_cow", SDFFit())


def _mesh(
    arguments: argparse.Namespace, shape: str, name: str, method: FieldFit, bounds: bool = False
) -> record.Figures:
    target = ShapeTarget.of_mesh(shape, read_mesh(TARGETS[shape], colored=False))
    opened = fitted(name, method, target, arguments, arguments.minutes)
    truth = target.shape()
    assert isinstance(truth, Mesh), "made of one"
    figures, scores = scored(name, opened, truth)
    if bounds:
        figures |= {
            "sdf_chamfer_percent": record.figure(
                scores.chamfer_percent, "% of diagonal", at_most=0.3
            ),
            "sdf_iou": record.figure(scores.iou, "", at_least=0.98),
        }
    mesh = mesh_of(opened)
    cameras = cameras_around(truth, 5, 256)
    rows: list[Row] = [
        (shape, images(shape_renderer(truth), cameras)),
        ("fitted surface", images(shape_renderer(mesh), cameras)),
    ]
    write_picture(arguments.pictures / f"{name}.png", rows, 150)
    return figures


def clouds(arguments: argparse.Namespace) -> record.Figures:
    """Ten thousand points of the bunny, with normals and without."""
    whole = ShapeTarget.of_mesh("bunny", read_mesh(TARGETS["bunny"], colored=False)).shape()
    assert isinstance(whole, Mesh), "made of one"
    drawn = sample_surface(whole, POINTS, torch.Generator().manual_seed(5))
    cameras = cameras_around(whole, 5, 256)
    given = PointCloud(drawn.points, None, drawn.normals)
    rows: list[Row] = [("points", images(shape_renderer(given), cameras))]
    figures: record.Figures = {}
    for name, normals, label in (
        ("oriented", drawn.normals, "SDF, with normals"),
        ("unoriented", None, "SDF, without normals"),
    ):
        target = ShapeTarget.of_points(name, PointCloud(drawn.points, None, normals))
        opened = fitted(name, SDFFit(), target, arguments, arguments.minutes)
        figures |= scored(f"sdf_{name}", opened, whole)[0]
        rows.append((label, images(shape_renderer(opened.shape()), cameras)))
    write_picture(arguments.pictures / "sdf_points.png", rows, 150)
    return figures


def kinds(arguments: argparse.Namespace) -> record.Figures:
    """Every kind of field fitted to the cow in the same time."""
    target = ShapeTarget.of_mesh("cow", read_mesh(TARGETS["cow"], colored=False))
    truth = target.shape()
    assert isinstance(truth, Mesh), "made of one"
    cameras = cameras_around(truth, 4, 192)
    rows: list[Row] = []
    figures: record.Figures = {}
    for kind in FIELD_KINDS:
        method = SDFFit(field=kind)
        if kind in NETWORKS:
            method = replace(method, learning_rate=1.0, batch=NETWORK_BATCH)
        opened = fitted(f"kind-{kind}", method, target, arguments, arguments.kind_minutes)
        name = f"sdf_kind_{kind.replace('-', '_')}"
        count = opened.fitted.num_parameters
        figures[f"{name}_parameters"] = record.figure(count, "")
        figures |= scored(name, opened, truth)[0]
        rows.append((kind, images(shape_renderer(opened.shape()), cameras)))
    write_picture(arguments.pictures / "sdf_kinds.png", rows, 120)
    return figures


def memory(arguments: argparse.Namespace) -> record.Figures:
    """Additional memory and time of surface extraction, each in a new process."""
    bunny(arguments)
    figures: record.Figures = {}
    for cells in (128, 256, 512):
        command = [sys.executable, __file__, "--extract", str(arguments.work / "field-sdf")]
        found = subprocess.run(
            [*command, "--cells", str(cells)], capture_output=True, text=True, check=True
        )
        megabytes, seconds, faces = map(float, found.stdout.split()[-3:])
        figures[f"sdf_extract_mb_{cells}"] = record.figure(megabytes, "MB")
        figures[f"sdf_extract_seconds_{cells}"] = record.figure(seconds, "s")
        figures[f"sdf_extract_faces_{cells}"] = record.figure(faces, "faces")
    return figures


def extract(path: Path, cells: int) -> None:
    """Print megabytes, seconds and faces of one extraction."""
    opened = Run.open(path, "cpu")
    assert isinstance(opened.method, FieldFit), "a run of a field"
    model: Any = opened.model
    # Warm-up: load kernels and libraries.
    opened.method.surface(model, 32)
    # Reset the peak (Linux): loading used more memory.
    Path("/proc/self/clear_refs").write_text("5")
    before = most_megabytes()
    began = time.perf_counter()
    mesh = opened.method.surface(model, cells)
    seconds = time.perf_counter() - began
    print(most_megabytes() - before, seconds, len(mesh.faces))


def most_megabytes() -> float:
    """Peak memory of this process since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


PARTS = {"bunny": bunny, "cow": cow, "clouds": clouds, "kinds": kinds, "memory": memory}


def measure(arguments: argparse.Namespace) -> record.Figures:
    """All parts. `arguments` has seed, work, pictures, minutes and kind_minutes."""
    figures: record.Figures = {}
    for part in PARTS.values():
        figures |= part(arguments)
    return figures


def main() -> None:
    """Measure the selected parts and print the metrics."""
    parser = argparse.ArgumentParser(description="Fields fitted to shapes.")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--kind-minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/field_shapes")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs/fields")
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cells", type=int, default=256, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.extract:
        extract(arguments.extract, arguments.cells)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    for part in arguments.only:
        record.show(PARTS[part](arguments))


if __name__ == "__main__":
    main()

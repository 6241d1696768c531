"""Explicit shapes: rasterization, Chamfer distance, fits, and prediction from one image.

    python benchmarks/shapes.py [--only PART ...] [--minutes 30] [--work FOLDER] [--quick]

Parts: raster, gradients and chamfer take seconds; voxels, points, mesh and images are fits of
minutes; predict-points, predict-mesh and predict-voxels train for --minutes each. Measured
parts are merged into the results, and the tables of docs/shapes.md rewritten.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import record
import tables
import torch
from raster_brute_force import raster_seconds
from raster_gradients import gradient_errors
from record import ROOT
from runs import fitted_in, images, mesh_of
from timing import in_turn, peak_mb

from unrender.api.run import Run
from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import (
    Draw,
    ImageShapeDataset,
    ImageShapePairs,
    load_shapes,
    save_shapes,
)
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.shape_target import ShapeTarget
from unrender.evaluation.renders import WHITE, evaluate_images
from unrender.evaluation.surfaces import silhouette_iou
from unrender.files import replacing
from unrender.methods.presets import PRESETS
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.report.pictures import write_picture
from unrender.report.plots import draw_curves
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.textures import VertexColors
from unrender.training.fit import FitOptions

RESULTS = ROOT / "benchmarks/results/shapes.json"
DATA = ROOT.parent / "shared/data"
TARGETS = {
    "cow": DATA / "meshes/spot_textured/cow.obj",
    "bunny": DATA / "meshes/stanford-bunny.obj",
}
HOLD_OUT = 8
FIT_MINUTES = {"voxels": 0.5, "points": 1.0, "mesh": 3.0}
IMAGES_MINUTES = 4.0
CHAIRS, VIEWS, SIZE = 4000, 8, 64
"""Number of procedural chairs, images of each, and their side in pixels."""


def main() -> None:
    """Measure the selected parts, and merge the results into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=30.0, help="of training each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/shapes")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    committed = not arguments.quick and arguments.out == RESULTS
    arguments.pictures = ROOT / "docs/shapes" if committed else arguments.work
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    figures = record.merge(PARTS, arguments)
    if any(part.startswith("predict") for part in arguments.only):
        write_curves(arguments.pictures / "predict-f1.png", figures)
    if committed:
        tables.rewrite("shapes")


def raster(arguments: argparse.Namespace) -> record.Figures:
    """The cow at 256×256, forward and backward, against brute force."""
    mesh = read_mesh(TARGETS["cow"], colored=False)
    camera = cameras_around(mesh, 1)
    every, seconds = (256, 1.0) if arguments.quick else (32, 10.0)
    found = raster_seconds(mesh, camera, every, seconds)
    figures: record.Figures = {}
    bounds = {"depth": {"at_least": 50.0}, "soft mask": {}}
    for kind, (slow, fast) in found.items():
        key = "raster" if kind == "depth" else "raster_soft"
        figures[f"{key}_speedup"] = record.figure(slow / fast, "×", **bounds[kind])
        figures[f"{key}_seconds"] = record.figure(fast, "s")
    return figures | peer("raster_over_pytorch3d")


def peer(name: str) -> record.Figures:
    """PyTorch3D has no wheel for this Python: returns a reason instead of a value."""
    assert importlib.util.find_spec("pytorch3d") is None, "time it, now that it can be imported"
    reason = "pytorch3d cannot be installed here: its releases have no wheel for this torch"
    return {name: record.figure(None, "×", reason, at_least=1.0)}


def gradients(arguments: argparse.Namespace) -> record.Figures:
    """Gradients of silhouettes and colors, against finite differences."""
    mesh = read_mesh(TARGETS["cow"], colored=False)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    # Colors that vary smoothly and are fixed to the surface.
    colors = VertexColors((mesh.vertices - low) / (high - low))
    mesh = Mesh(mesh.vertices, mesh.faces, colors)
    cameras = cameras_around(mesh, 2 if arguments.quick else 8, 128)
    figures: record.Figures = {}
    for rays, key in ((1, "raster_gradient_error"), (2, "raster_gradient_error_2x2")):
        found = gradient_errors(mesh, cameras, antialias=rays)
        figures[key] = record.figure(found.of_same, "", at_most=0.05)
        figures[f"{key}_of_truth"] = record.figure(found.of_truth, "")
    return figures


def chamfers(arguments: argparse.Namespace) -> record.Figures:
    """Chamfer distance of 10,000 and 10,000 points, forward and backward, and memory."""
    clouds: list[torch.Tensor] = []
    for k, path in enumerate(TARGETS.values()):
        mesh = read_mesh(path, colored=False).unit_cube()
        clouds.append(sample_surface(mesh, 100_000, torch.Generator().manual_seed(k)).points)

    def ours(count: int) -> None:
        a, b = (cloud[torch.randperm(len(cloud))[:count]] for cloud in clouds)
        a.requires_grad_()
        chamfer_distance(a[None], b[None]).distance.sum().backward()

    def brute(count: int) -> None:
        a, b = (cloud[torch.randperm(len(cloud))[:count]] for cloud in clouds)
        a.requires_grad_()
        square = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        (square.amin(0).mean() + square.amin(1).mean()).backward()

    count = 2000 if arguments.quick else 10_000
    slow, fast = in_turn(
        [lambda: brute(count), lambda: ours(count)], "cpu", 1.0 if arguments.quick else 20.0
    )
    ratios = sorted(s / f for s, f in zip(slow, fast, strict=True))
    figures = {
        "chamfer_speedup": record.figure(ratios[len(ratios) // 2], "×", at_least=10.0),
        "chamfer_seconds": record.figure(sorted(fast)[len(fast) // 2], "s"),
    }
    for size in (25_000, 100_000):
        figures[f"chamfer_mb_{size}"] = record.figure(
            peak_mb(lambda n=size: ours(n), "cpu"), "MB"
        )
    return figures | peer("knn_over_pytorch3d")


def fits(kind: str, arguments: argparse.Namespace) -> record.Figures:
    """One representation fitted to the cow and the bunny; also records the worse of both."""
    minutes = 0.1 if arguments.quick else FIT_MINUTES[kind]
    figures: record.Figures = {}
    rows: list[tuple[str, torch.Tensor]] = []
    worst: dict[str, float] = {}
    for name, path in TARGETS.items():
        target = ShapeTarget.of_mesh(name, read_mesh(path, colored=False))
        out = arguments.work / f"{kind}-{name}"
        options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
        opened = fitted_in(out, PRESETS[f"fit-{kind}"].method(), target, options)
        scores = opened.evaluate(target)
        own = {"f1": scores["f1"][0], "normal_consistency": scores["normal_consistency"]}
        own |= {"iou": scores["iou"]} if "iou" in scores else {}
        for key, value in own.items():
            if value is not None:
                figures[f"fit_{kind}_{key}_{name}"] = record.figure(value, "")
                worst[key] = min(worst.get(key, 1.0), value)
        figures[f"fit_{kind}_steps_{name}"] = record.figure(opened.steps, "steps")
        cameras = cameras_around(target.shape(), 6, 256)
        rows.append((name, images(shape_renderer(target.shape()), cameras)))
        rows.append((f"fitted {kind}", images(shape_renderer(opened.shape()), cameras)))
    asked = {"voxels": ("iou", 0.97), "points": ("f1", 0.99), "mesh": ("f1", 0.9)}
    key, least = asked[kind]
    figures[f"fit_{kind}_{key}"] = record.figure(worst[key], "", at_least=least)
    write_picture(arguments.pictures / f"fit-{kind}.png", rows, 150)
    return figures


def from_images(arguments: argparse.Namespace) -> record.Figures:
    """Mesh of scan65 from silhouettes and colors, evaluated on held-out views."""
    reading = LoadOptions(hold_out=HOLD_OUT)
    source = str(DATA / "dtu/scan65_400x300")
    scene = load_dataset(source, reading)
    minutes = 0.2 if arguments.quick else IMAGES_MINUTES
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    out = arguments.work / "scan65-mesh"
    opened = fitted_in(out, PRESETS["mesh-from-views"].method(), scene, options)
    found = evaluate_images(opened.renderer, scene.test)
    opacity = torch.cat([each.opacity for each in found.renderings])
    overlap = silhouette_iou(opacity, scene.test.rgba[..., 3])
    chosen = torch.linspace(0, len(scene.test) - 1, 4).round().long()
    mesh = mesh_of(opened)
    grey = shape_renderer(Mesh(mesh.vertices, mesh.faces))
    rows = [
        ("photograph", scene.test.over(WHITE)[chosen]),
        ("mesh", [found.rendered[k] for k in chosen]),
        ("without colors", images(grey, scene.test.cameras.select(chosen))),
    ]
    write_picture(arguments.pictures / "scan65-mesh.png", rows, 150)
    return {
        "image_mesh_mask_iou": record.figure(float(overlap.mean()), "", at_least=0.93),
        "image_mesh_mask_iou_least": record.figure(float(overlap.min()), ""),
        "image_mesh_psnr": record.figure(found.scores.mean_psnr, "dB"),
        "image_mesh_steps": record.figure(opened.steps, "steps"),
    }


def predicted(kind: str, arguments: argparse.Namespace) -> record.Figures:
    """A network trained on procedural chairs, evaluated on held-out chairs."""
    shapes = chairs(arguments)
    minutes = 0.2 if arguments.quick else arguments.minutes
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    out = arguments.work / f"image-to-{kind}"
    opened = fitted_in(out, PRESETS[f"image-to-{kind}-fast"].method(), shapes, options)
    scores = opened.evaluate()
    asked = {"points": 0.9, "mesh": 0.85, "voxels": 0.75}
    key = f"predict_{kind}"
    figures: record.Figures = {
        f"{key}_f1": record.figure(scores["f1"][-1], "", at_least=asked[kind]),
        **{
            f"{key}_f1_at_{threshold:g}": record.figure(value, "")
            for threshold, value in zip(scores["thresholds"], scores["f1"], strict=True)
        },
        f"{key}_chamfer_l1": record.figure(scores["chamfer_l1"], ""),
        f"{key}_steps": record.figure(opened.steps, "steps"),
        f"{key}_minutes": record.figure(opened.seconds / 60, "min"),
    }
    for name in ("voxel_iou", "normal_consistency"):
        if scores[name] is not None:
            figures[f"{key}_{name}"] = record.figure(scores[name], "")
    write_predictions(arguments.pictures / f"predict-{kind}.png", opened, shapes.test)
    return figures


def chairs(arguments: argparse.Namespace) -> ImageShapeDataset:
    """The dataset, created if it does not exist."""
    path = arguments.work / "chairs.npz"
    if not path.exists():
        count = 200 if arguments.quick else CHAIRS
        save_shapes(path, *make_shapes("chair", count, VIEWS, SIZE, arguments.seed))
    return load_shapes(path)


def write_predictions(path: Path, opened: Run, shapes: ImageShapePairs) -> None:
    """Draw eight held-out chairs: input, ground truth and prediction."""
    image = torch.linspace(0, len(shapes.images) - 1, 8).long()
    drawn = Draw(image, torch.zeros(len(image), dtype=torch.bool))
    rgba = shapes.rgba(drawn)
    rows: dict[str, list[torch.Tensor]] = {"image": [], "ground truth": [], "prediction": []}
    found = opened.fitted.predict(rgba)
    for k, shape in enumerate(found):
        number = int(shapes.shape_index[image[k]])
        truth = PointCloud(
            shapes.points[number].float(), None, shapes.normals[number].float() / 127
        )
        camera = cameras_around(truth, 8, 160).select(slice(1, 2))
        rows["ground truth"].append(images(shape_renderer(truth), camera)[0])
        empty = isinstance(shape, Mesh) and len(shape.faces) == 0
        drawn_shape = (
            torch.ones(160, 160, 3) if empty else images(shape_renderer(shape), camera)[0]
        )
        rows["prediction"].append(drawn_shape)
        rows["image"].append((rgba[k, ..., :3] + 1 - rgba[k, ..., 3:]).clamp(0, 1))
    write_picture(path, [(name, torch.stack(row)) for name, row in rows.items()], 150)


def write_curves(path: Path, figures: record.Figures) -> None:
    """Plot F1 over the threshold for all measured predictions."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for kind in ("points", "mesh", "voxels"):
        name = f"predict_{kind}_f1_at_"
        found = {
            float(k.removeprefix(name)): v["value"] for k, v in figures.items() if name in k
        }
        if found:
            series[kind] = list(found), list(found.values())
    figure = draw_curves(series, "threshold (share of the longest side)", "F1 score")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=220, facecolor="white")


PARTS: dict[str, Callable[[argparse.Namespace], record.Figures]] = {
    "raster": raster,
    "gradients": gradients,
    "chamfer": chamfers,
    "voxels": partial(fits, "voxels"),
    "points": partial(fits, "points"),
    "mesh": partial(fits, "mesh"),
    "images": from_images,
    "predict-points": partial(predicted, "points"),
    "predict-mesh": partial(predicted, "mesh"),
    "predict-voxels": partial(predicted, "voxels"),
}


if __name__ == "__main__":
    main()

"""NeuS and VolSDF: surfaces from images, evaluated on held-out views and true surfaces.

The parts neus, volsdf, synthetic and weights of `fields_surfaces.py`. neus and volsdf fit DTU's
scan 65 with every eighth photograph held out. synthetic is NeuS on the built-in scenes, whose
surface is known; weights plots the weights of a ray through a plane, and takes a second.
Existing runs are resumed, so that a larger --minutes continues them.
"""

import argparse
import resource
from functools import partial

import record
import torch
from record import ROOT
from runs import fitted_in, images, mesh_of

from unrender.api.run import Run
from unrender.data.builtin import NAMES, make_scene
from unrender.data.builtin.surface import surface_mesh
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.views import Views
from unrender.evaluation.renders import WHITE
from unrender.evaluation.solids import eikonal_rms
from unrender.evaluation.surfaces import (
    psnr_inside,
    score_visible,
    silhouette_iou,
)
from unrender.geometry.paths import evenly
from unrender.methods.neus import logistic_depth
from unrender.methods.presets import PRESETS
from unrender.methods.volsdf import laplace_density
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import shape_renderer
from unrender.rendering.volume.compositing import depth_weights
from unrender.report.pictures import Row, write_picture
from unrender.report.plots import draw_curves
from unrender.shapes.files.meshes import write_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import point_to_mesh_distance2
from unrender.shapes.sampling import sample_surface
from unrender.training.fit import FitOptions
from unrender.training.surface_method import SurfaceModel

SCAN = ROOT.parent / "shared/data/dtu/scan65_400x300"
HOLD_OUT = 8
SYNTHETIC_SHARE = 1 / 4
"""Share of --minutes for each built-in scene."""


def scan(kind: str, arguments: argparse.Namespace) -> record.Figures:
    """One method on scan 65, evaluated on held-out photographs."""
    if not SCAN.exists():
        reason = "dtu/scan65_400x300 is not in ../shared/data"
        return {
            f"{kind}_{name}": record.figure(None, "", reason) for name in ("mask_iou", "psnr")
        }
    reading = LoadOptions(hold_out=HOLD_OUT)
    scene = load_dataset(str(SCAN), reading)
    opened, figures = fitted(kind, f"scan65-{kind}", scene, 1.0, arguments)
    mesh, rendering = mesh_of(opened), rendered(opened, scene.test)
    figures |= silhouettes(rendering, mesh, scene.test)
    figures["psnr"] = record.figure(
        float(colors_inside(rendering, scene.test).mean()), "dB", at_least=24.0
    )
    figures["mask_iou"]["at_least"] = 0.93
    write_mesh(arguments.work / f"scan65-{kind}.ply", mesh)
    picture(f"{kind}-scan65", rendering, mesh, scene.test, 4, arguments)
    return {f"{kind}_{name}": value for name, value in figures.items()}


def synthetic(arguments: argparse.Namespace) -> record.Figures:
    """NeuS on each built-in scene, evaluated against its surface; also records the worst."""
    figures: record.Figures = {}
    worst = 0.0
    for name in ("bricks",) if arguments.quick else NAMES:
        scene = make_scene(name, 40, 20, 8) if arguments.quick else make_scene(name)
        out = f"{name}-neus"
        opened, own = fitted("neus", out, scene, SYNTHETIC_SHARE, arguments)
        mesh, truth = mesh_of(opened), surface_mesh(name)
        rendering = rendered(opened, scene.test)
        own |= silhouettes(rendering, mesh, scene.test)
        own["psnr"] = record.figure(float(colors_inside(rendering, scene.test).mean()), "dB")
        seen = score_visible(mesh, truth, scene.test.cameras)
        share = 100 / seen.diagonal
        own["chamfer_percent"] = record.figure(seen.chamfer_percent, "%")
        own["accuracy_percent"] = record.figure(share * seen.accuracy, "%")
        own["completeness_percent"] = record.figure(share * seen.completeness, "%")
        own["chamfer_percent_unseen_too"] = record.figure(whole(mesh, truth), "%")
        worst = max(worst, seen.chamfer_percent)
        figures |= {f"synthetic_{key}_{name}": value for key, value in own.items()}
        picture(f"neus-{name}", rendering, mesh, scene.test, 3, arguments)
    return figures | {"synthetic_chamfer_percent": record.figure(worst, "%", at_most=1.0)}


def weights(arguments: argparse.Namespace) -> record.Figures:
    """Weights along a ray through a plane at distance 1, by three densities."""
    t = torch.linspace(0.6, 1.4, 801, dtype=torch.float64)
    distance, middles, length = 1 - t, (t[1:] + t[:-1]) / 2, t.diff()
    sharpness, between = torch.tensor(30.0, dtype=torch.float64), 1 - middles
    logistic = sharpness * (sharpness * between).sigmoid() * (-sharpness * between).sigmoid()
    depths = {
        "NeuS": logistic_depth(distance[:-1], distance[1:], sharpness),
        "VolSDF": laplace_density(between, 1 / sharpness) * length,
        "logistic density": logistic * length,
    }
    series: dict[str, tuple[list[float], list[float]]] = {}
    figures: record.Figures = {}
    for name, depth in depths.items():
        share = depth_weights(depth[None])[0] / length
        series[name] = middles.tolist(), share.tolist()
        key = name.lower().replace(" ", "_")
        off = float(middles[share.argmax()]) - 1
        figures[f"weights_off_{key}"] = record.figure(off, "")
    drawing = draw_curves(
        series, "distance along the ray (surface at 1)", "weight per unit distance"
    )
    folder = arguments.pictures / "surfaces"
    folder.mkdir(parents=True, exist_ok=True)
    drawing.savefig(folder / "weights.png", dpi=144, facecolor="white")
    return figures


def fitted(
    kind: str,
    out: str,
    scene: Dataset,
    share: float,
    arguments: argparse.Namespace,
) -> tuple[Run, record.Figures]:
    """A run for that share of the minutes, and its time, steps and memory."""
    minutes = 0.1 if arguments.quick else share * arguments.minutes
    method = PRESETS[f"{kind}-tiny" if arguments.quick else f"{kind}-fast"].method()
    path = arguments.work / out
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    opened = fitted_in(path, method, scene, options)
    model = opened.model
    assert isinstance(model, SurfaceModel)
    mesh = mesh_of(opened)
    points = sample_surface(mesh, 10_000, torch.Generator().manual_seed(1)).points
    with torch.no_grad():
        local = model.field.with_gradients(model.ball.to_unit(points))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3
    return opened, {
        "steps": record.figure(opened.steps, "steps"),
        "seconds": record.figure(opened.seconds, "s"),
        "eikonal_rms": record.figure(eikonal_rms(local.gradient), ""),
        "layer_width": record.figure(float(model.width.detach()), "radii"),
        "peak_mb": record.figure(peak, "MB"),
    }


def silhouettes(rendering: Rendering, mesh: Mesh, views: Views) -> record.Figures:
    """IoU with the true masks, of the rendered opacity and of the mesh."""
    alpha = views.rgba[..., 3]
    drawn = shape_renderer(mesh)(views.cameras).opacity
    own, meshes = silhouette_iou(rendering.opacity, alpha), silhouette_iou(drawn, alpha)
    return {
        "mask_iou": record.figure(float(own.mean()), ""),
        "mask_iou_least": record.figure(float(own.min()), ""),
        "mesh_mask_iou": record.figure(float(meshes.mean()), ""),
    }


def colors_inside(rendering: Rendering, views: Views) -> torch.Tensor:
    """PSNR inside the true masks, over black."""
    rgba = views.rgba
    return psnr_inside(rendering.color.clamp(0, 1), rgba[..., :3], rgba[..., 3] > 0.5)


def whole(mesh: Mesh, truth: Mesh) -> float:
    """Chamfer distance in percent of the diagonal, including invisible parts."""
    generator = torch.Generator().manual_seed(2)
    points = [sample_surface(each, 50_000, generator).points for each in (mesh, truth)]
    diagonal = float((truth.vertices.amax(0) - truth.vertices.amin(0)).norm())
    both = zip(points, (truth, mesh), strict=True)
    away = [float(point_to_mesh_distance2(p, m).sqrt().mean()) for p, m in both]
    return 100 * sum(away) / 2 / diagonal


def picture(
    name: str,
    rendering: Rendering,
    mesh: Mesh,
    views: Views,
    columns: int,
    arguments: argparse.Namespace,
) -> None:
    """Draw images, renders, normals and the mesh without colors."""
    chosen = evenly(columns, len(views))
    normals = rendering.normals
    assert normals is not None
    cover = rendering.opacity[..., None]
    grey = shape_renderer(Mesh(mesh.vertices, mesh.faces))
    rows: list[Row] = [
        ("held-out image", views.over(WHITE)[chosen]),
        ("render", rendering.over(WHITE).clamp(0, 1)[chosen]),
        ("normals", (cover * (normals + 1) / 2 + 1 - cover).clamp(0, 1)[chosen]),
        ("mesh", images(grey, views.cameras.select(torch.tensor(chosen)))),
    ]
    folder = arguments.pictures / "surfaces"
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / f"{name}.png", rows, 120)


PARTS = {
    "neus": partial(scan, "neus"),
    "volsdf": partial(scan, "volsdf"),
    "synthetic": synthetic,
    "weights": weights,
}

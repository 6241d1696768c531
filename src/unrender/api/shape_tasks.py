"""What the commands do with shapes: fit one, draw it, and compare it with its target."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.opened_run import (
    OpenRun,
    begin_run,
    check_free,
    describe_cameras,
    fingerprint,
    fit_into,
)
from unrender.data.formats.camera_files import NamedCameras
from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.evaluation.renders import WHITE
from unrender.evaluation.shapes import score_shape, voxel_iou
from unrender.evaluation.solids import score_solid
from unrender.files import write_json
from unrender.geometry.cameras import Cameras
from unrender.methods import AnyMethod
from unrender.methods.fit_sdf import SDFFit
from unrender.rendering.mesh.shading import studio
from unrender.rendering.renderer import Renderer
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.report.progress import ProgressVideo
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.files.shape import Up, load_shape, save_shape
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.mesh_checks import mesh_problems
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape, bounds, surface_points
from unrender.shapes.voxels import VoxelGrid
from unrender.training.field_fit import FieldFit
from unrender.training.fit import FitOptions, FitResult, pick_device
from unrender.training.run import provenance
from unrender.training.shape_fit import HoldsShape

POINTS = 50_000
"""Drawn from each surface when a fit is judged."""
FILM_SIZE = 160
FILM_TURN = 36
"""Frames in which the outcome turns once about itself."""
FILES: dict[type[Shape], str] = {
    Mesh: "mesh.obj",
    PointCloud: "points.ply",
    VoxelGrid: "voxels.npz",
}
"""What a fitted shape is written as, into its run's folder."""


def read_target(path: Path, up: Up) -> ShapeTarget:
    """A shape's file as what `fit-shape` is given. InputError."""
    shape = load_shape(path, up)
    if isinstance(shape, PointCloud):
        return ShapeTarget.of_points(path.stem, shape)
    mesh = shape if isinstance(shape, Mesh) else mesh_from_voxels(shape)
    return ShapeTarget.of_mesh(path.stem, mesh)


def fit_shape(
    target: ShapeTarget,
    source: Path,
    up: Up,
    method: AnyMethod,
    out: Path,
    options: FitOptions,
    resume: bool = False,
    show: bool = True,
) -> tuple[OpenRun, FitResult]:
    """Fit one of `SHAPE_FITS`, or its like, to a shape, into the run folder `out`.

    The folder also gets the shape's file and progress.gif: the target on the left, the fit on
    the right, first as it comes about and then from all sides. InputError.
    """
    device = pick_device(options.device)
    check_free(out, resume)
    wanted = target.shape()
    cameras = cameras_around(wanted, FILM_TURN, FILM_SIZE)
    views = describe_cameras(cameras, fingerprint((target.points,)))
    run = begin_run(method, out, options, {"source": str(source), "up": up}, views, resume)
    truth = images(shape_renderer(wanted, studio()), cameras)
    three_quarters = cameras.select(slice(FILM_TURN // 8, FILM_TURN // 8 + 1))

    def draw(model: Any) -> Float[Tensor, "height width 3"]:
        return images(lambda seen: method.render(model, seen.to(device)), three_quarters)[0]

    film = ProgressVideo(truth[FILM_TURN // 8], draw)
    names = tuple(f"turntable_{k:02d}" for k in range(FILM_TURN))
    opened, result = fit_into(
        run, method, target.to(device), NamedCameras(cameras, names), options, resume, show,
        film.watch,
    )  # fmt: skip
    shape = shape_of(opened)
    save_shape(run.path / FILES[type(shape)], shape)
    outcome = images(opened.renderer, cameras)
    film.write(run.path / "progress.gif", torch.cat([truth, outcome], dim=2))
    return opened, result


def target_of(opened: OpenRun, data: str | None) -> ShapeTarget:
    """What a run was fitted to, or the file `data`, read in the same way. InputError."""
    known = opened.run.config["data"]
    return read_target(Path(data or str(known["source"])), known["up"])


def images(renderer: Renderer, cameras: Cameras) -> Float[Tensor, "cameras height width 3"]:
    """Over white."""
    with torch.no_grad():
        return renderer(cameras).to("cpu").over(WHITE).clamp(0, 1)


def shape_of(opened: OpenRun) -> Shape:
    """The shape that a run holds. InputError if it holds none."""
    if not isinstance(opened.method, HoldsShape):
        raise InputError(f"{opened.run.path}: holds no shape: name a run of fit-shape")
    found: Shape = opened.method.shape(opened.model)
    return found.to("cpu")


def describe_shape(shape: Shape) -> str:
    """What it is made of, in words."""
    if isinstance(shape, Mesh):
        return f"{len(shape.vertices)} vertices, {len(shape.faces)} faces"
    if isinstance(shape, PointCloud):
        return f"{len(shape)} points"
    cells = "×".join(map(str, shape.values.shape))
    return f"{cells} cells, {int(shape.filled().sum())} of them filled"


def inspect_shape(path: Path) -> tuple[dict[str, str], list[str]]:
    """What a shape's file holds, by name, and what looks wrong with it. InputError."""
    shape = load_shape(path)
    low, high = (", ".join(f"{x:.4g}" for x in corner.tolist()) for corner in bounds(shape))
    facts = {"shape": describe_shape(shape), "from": low, "to": high}
    if isinstance(shape, PointCloud):
        facts["normals"] = "none" if shape.normals is None else "yes"
    if not isinstance(shape, Mesh):
        return facts, []
    texture = shape.texture
    facts["texture"] = "none" if texture is None else type(texture).__name__
    facts["watertight"] = "yes" if is_watertight(shape.faces) else "no"
    return facts, mesh_problems(shape)


def evaluate_fit(opened: OpenRun, target: ShapeTarget, seed: int = 1) -> dict[str, Any]:
    """Figures of a fitted shape against its target, which go into evaluation.json.

    Points are drawn from both surfaces anew. Of voxels, the overlap of the cells as well; of
    fields whose target is a mesh, what `score_solid` says, and of distances how far their slope
    is from 1.
    """
    generator = torch.Generator().manual_seed(seed)
    shape, truth = shape_of(opened), target.shape()
    found = surface_points(shape, POINTS, generator)
    if len(found) == 0:
        raise InputError(f"{opened.run.path}: has no points, for no cell is full: fit longer")
    true = surface_points(truth, POINTS, generator)
    scores = score_shape(found.points, true.points, found.normals, true.normals)
    figures: dict[str, Any] = {"target": target.name, "points": POINTS, "seed": seed}
    figures |= scores.to_json()
    if isinstance(shape, VoxelGrid):
        inside = target.voxels(shape.values.shape[0]) > 0.5
        figures["iou"] = float(voxel_iou(shape.filled(), inside))
    if isinstance(opened.method, FieldFit) and isinstance(shape, Mesh):
        if isinstance(truth, Mesh):
            figures |= score_solid(shape, truth, POINTS, generator).to_json()
        if isinstance(opened.method, SDFFit):
            model: Any = opened.model
            figures["eikonal_residual"] = opened.method.residual(model, POINTS, generator)
    write_json(opened.run.path / "evaluation.json", {**figures, **provenance()})
    return figures

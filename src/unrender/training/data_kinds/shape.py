"""A shape in three dimensions: what meshes, points, voxels and fields are fitted to."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.renders import WHITE
from unrender.evaluation.scores import Scores
from unrender.evaluation.shapes import score_shape, voxel_iou
from unrender.evaluation.solids import score_solid
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.files.shape import Up, load_shape, save_shape
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape, surface_points
from unrender.shapes.voxels import VoxelGrid
from unrender.training.method import (
    DataKind,
    Description,
    Evaluation,
    Fitted,
    Method,
    Watcher,
)
from unrender.training.progress_video import ProgressVideo

POINTS = 50_000
"""Number of points sampled on each surface for evaluation."""
SEED = 1
"""Random seed of these points."""
FILM_SIZE = 160
FILM_TURN = 36
"""Frames in which the outcome turns once about itself."""
FILES: dict[type[Shape], str] = {
    Mesh: "mesh.obj",
    PointCloud: "points.ply",
    VoxelGrid: "voxels.npz",
}
"""What a fitted shape is written as, into its run folder."""


@dataclass(frozen=True)
class ShapeOptions:
    """How a shape's file is read."""

    up: Up = "auto"
    """Which axis of a mesh file points up; auto takes y for .obj, .glb and .gltf, else z."""


class _Film(Watcher):
    """progress.gif: the target on the left, the fit on the right, during and after the fit."""

    def __init__(self, method: Method[Any, Any], target: ShapeTarget, device: torch.device):
        shape = target.shape()
        self.cameras = cameras_around(shape, FILM_TURN, FILM_SIZE)
        self.truth = _images(shape_renderer(shape), self.cameras)
        view = FILM_TURN // 8
        three_quarters = self.cameras.select(slice(view, view + 1))

        def draw(model: Any) -> Float[Tensor, "height width 3"]:
            return _images(
                lambda given: method.render(model, given.to(device)), three_quarters
            )[0]

        self.film = ProgressVideo(self.truth[view], draw)

    def watch(self, model: Any, seconds: float) -> None:
        self.film.watch(model, seconds)

    def write(self, fitted: Fitted[Any], folder: Path) -> None:
        shape = fitted.shape()
        save_shape(folder / FILES[type(shape)], shape)
        outcome = _images(fitted.renderer, self.cameras)
        self.film.write(folder / "progress.gif", torch.cat([self.truth, outcome], dim=2))


class OneShape(DataKind[ShapeTarget, ShapeTarget]):
    """A mesh, points or voxels; scored on points sampled anew."""

    name: ClassVar[str] = "a shape"
    options: ClassVar[type[Any]] = ShapeOptions

    def read(self, source: object, options: ShapeOptions) -> ShapeTarget:
        if isinstance(source, ShapeTarget):
            return source
        if isinstance(source, str | Path):
            path = Path(source)
            # Only geometry is fitted.
            shape = load_shape(path, options.up, colored=False)
            return target_of(shape, path.stem, str(path), options.up)
        if isinstance(source, Mesh | PointCloud | VoxelGrid):
            return target_of(source, "shape")
        raise InputError(
            f"{type(source).__name__}: is not a shape: give the path of a mesh, points or "
            "voxels, or a Mesh, PointCloud or VoxelGrid"
        )

    def training(self, data: ShapeTarget) -> ShapeTarget:
        return data

    def describe(self, data: ShapeTarget) -> Description:
        cameras = cameras_around(data.shape(), FILM_TURN, FILM_SIZE)
        names = tuple(f"turntable_{k:02d}" for k in range(FILM_TURN))
        source = {"source": data.source, "up": data.up}
        return Description(source, cameras, names, (data.points,))

    def evaluate(
        self, fitted: Fitted[Any], data: ShapeTarget, lpips: LPIPS | None = None
    ) -> Evaluation:
        """Chamfer distance, F-score and normal consistency of points sampled on both surfaces.

        Voxels also have the intersection over union of their cells; fields whose target is a
        mesh also have what `score_solid` computes, and signed distances their
        `eikonal_rms`. InputError if the shape is empty.
        """
        generator = torch.Generator().manual_seed(SEED)
        shape, truth = fitted.shape(), data.shape()
        sampled = surface_points(shape, POINTS, generator)
        if len(sampled) == 0:
            raise InputError(f"{data.name}: the fitted shape is empty: fit longer")
        true = surface_points(truth, POINTS, generator)
        compared = score_shape(sampled.points, true.points, sampled.normals, true.normals)
        scores: dict[str, Any] = {"target": data.name, "points": POINTS, "seed": SEED}
        scores |= compared.to_json()
        if isinstance(shape, VoxelGrid):
            inside = data.voxels(shape.values.shape[0]) > 0.5
            scores["iou"] = float(voxel_iou(shape.filled(), inside))
        if fitted.method.is_solid and isinstance(shape, Mesh):
            if isinstance(truth, Mesh):
                scores |= score_solid(shape, truth, POINTS, generator).to_json()
            scores |= fitted.method.score(fitted.model, POINTS, generator)
        return Evaluation(Scores(scores))

    def remarks(self, method: Method[Any, Any], data: ShapeTarget) -> list[str]:
        return data.remarks() if method.is_solid else []

    def watcher(
        self, method: Method[Any, Any], data: ShapeTarget, device: torch.device
    ) -> Watcher | None:
        return _Film(method, data, device)


def target_of(
    shape: Shape, name: str, source: str | None = None, up: Up = "auto"
) -> ShapeTarget:
    """The target that a shape is for a fit. InputError if it has no extent."""
    if isinstance(shape, PointCloud):
        target = ShapeTarget.of_points(name, shape)
    else:
        mesh = shape if isinstance(shape, Mesh) else mesh_from_voxels(shape)
        target = ShapeTarget.of_mesh(name, mesh)
    return replace(target, source=source, up=up)


def _images(renderer: Renderer, cameras: Cameras) -> Float[Tensor, "cameras height width 3"]:
    """Over white."""
    with torch.no_grad():
        return renderer(cameras).to("cpu").over(WHITE).clamp(0, 1)


SHAPE = OneShape()

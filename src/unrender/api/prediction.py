"""From one photograph to a shape, between run folders: train, predict, evaluate."""

from pathlib import Path
from typing import Any

from unrender.api.opened_run import (
    OpenRun,
    begin_run,
    check_free,
    describe_cameras,
    fingerprint,
    fit_into,
)
from unrender.data.image_shape.pairs import ImageShapeDataset, load_shapes
from unrender.data.image_shape.shapenet import load_shapenet
from unrender.errors import InputError
from unrender.evaluation.predicted_shapes import evaluate_shapes
from unrender.files import write_json
from unrender.rendering.renderer import Images
from unrender.shapes.shape import Shape
from unrender.training.fit import FitOptions, FitResult, pick_device
from unrender.training.method import ShapeMethod
from unrender.training.run import provenance

AnyShapeMethod = ShapeMethod[Any, Any]
SIZE = 64
"""Pixels a side of what is made of ShapeNet's renderings."""


def load_shape_set(path: Path) -> ImageShapeDataset:
    """An .npz of `unrender make-shapes`, or a folder of ShapeNet's models with renderings."""
    if path.is_dir():
        return load_shapenet(path, SIZE)
    if path.suffix != ".npz":
        raise InputError(
            f"{path}: is no set of shapes: give an .npz of `unrender make-shapes`, or a folder "
            "of ShapeNet's models with renderings"
        )
    return load_shapes(path)


def train_predictor(
    method: AnyShapeMethod,
    source: Path,
    out: Path,
    options: FitOptions,
    resume: bool = False,
    shapes: ImageShapeDataset | None = None,
    show: bool = True,
) -> tuple[OpenRun, FitResult]:
    """Train on the shapes that are not held out, into the run folder `out`. InputError."""
    device = pick_device(options.device)
    check_free(out, resume)
    shapes = shapes or load_shape_set(source)
    known = fingerprint((shapes.train.images, shapes.train.points))
    views = describe_cameras(shapes.train.cameras, known)
    data = {"source": str(source), "shapes": len(shapes.train)}
    run = begin_run(method, out, options, data, views, resume)
    return fit_into(run, method, shapes.train.to(device), None, options, resume, show)


def predict_shapes(opened: OpenRun, images: Images) -> list[Shape]:
    """The shape in each cut-out photograph, on the CPU. InputError."""
    if not isinstance(opened.method, ShapeMethod):
        raise InputError(
            f"{opened.run.path}: predicts no shapes: name a run of image-to-mesh, "
            "image-to-points, image-to-voxels or image-to-occupancy"
        )
    found = opened.method.predict(opened.model, images.to(opened.device))
    return [shape.to("cpu") for shape in found]


def evaluate_predictor(opened: OpenRun, data: Path | None, seed: int = 0) -> dict[str, Any]:
    """Figures on held-out shapes, one image of each; writes evaluation.json. InputError."""
    source = data or Path(str(opened.run.config["data"]["source"]))
    shapes = load_shape_set(source).test
    scores = evaluate_shapes(lambda images: predict_shapes(opened, images), shapes, seed)
    figures = {"shapes": len(shapes), "seed": seed, **scores.to_json()}
    write_json(opened.run.path / "evaluation.json", {**figures, **provenance()})
    return figures

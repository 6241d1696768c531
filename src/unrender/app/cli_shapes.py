"""Commands about shapes: fit one, make many, and predict one from a photograph."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tqdm import tqdm

from unrender.api.opened_run import OpenRun, open_run
from unrender.api.prediction import predict_shapes
from unrender.api.shape_tasks import evaluate_fit, fit_shape, read_target
from unrender.api.tasks import read_images
from unrender.app.cli_render import check_output, on_bar
from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import save_shapes
from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.imaging.color import matte
from unrender.methods import SHAPE_FITS, AnyMethod
from unrender.shapes.files.shape import WRITABLE, Up, save_shape
from unrender.training.field_fit import FieldFit
from unrender.training.fit import Device, FitOptions, FitResult, pick_device, with_budget

Kind = Literal["mesh", "points", "voxels", "sdf", "occupancy"]
Behind = Literal["alpha", "white", "black"]
ENDINGS = tuple(sorted({ending for endings in WRITABLE.values() for ending in endings}))


def fit_a_shape(
    target: Annotated[Path, tyro.conf.Positional],
    out: Path,
    kind: Annotated[Kind, tyro.conf.arg(name="as")] = "mesh",
    up: Up = "auto",
    resume: bool = False,
    options: Annotated[FitOptions, tyro.conf.arg(name="")] = FitOptions(),
) -> None:
    """Fit a mesh, points, voxels or a field to a shape by gradient descent, for a minute.

    The run folder gets the fitted shape's file, progress.gif and figures in evaluation.json.

    Args:
        target: A mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply, .xyz, .npz) or
            voxels (.binvox, .npz).
        out: The run folder to make.
        kind: What is fitted: a sphere of triangles that deforms, points that spread, cells
            that fill, or a field that is a signed distance or an occupancy.
        up: Which axis of a mesh' file points up; auto takes y for .obj, .glb and .gltf, else z.
        resume: Continue the run in --out from its last checkpoint.
        options: The training loop.
    """
    if options.steps is None and options.minutes is None:
        options = with_budget(options, minutes=1.0)
    truth = read_target(target, up)
    method = SHAPE_FITS[f"fit-{kind}"]
    opened, result = fit_to_shape(method, truth, target, up, out, options, resume)
    if result.interrupted:
        print(f"Stopped after {result.steps} steps; continue with --resume.")
    else:
        print(f"Fitted in {result.seconds:.0f} s, {result.steps} steps.")
        show(evaluate_fit(opened, truth))
    print(opened.run.path)


def fit_to_shape(
    method: AnyMethod,
    truth: ShapeTarget,
    source: Path,
    up: Up,
    out: Path,
    options: FitOptions,
    resume: bool,
) -> tuple[OpenRun, FitResult]:
    """`fit_shape`, after saying what is assumed of the inside that a field is to have."""
    if isinstance(method, FieldFit):
        for remark in truth.remarks():
            print(remark)
    return fit_shape(truth, source, up, method, out, options, resume)


def make(
    out: Path,
    family: Literal["chair", "table", "lamp", "car"] = "chair",
    count: int = 4000,
    views: int = 8,
    size: int = 64,
    seed: int = 0,
) -> None:
    """Make a data set of procedural shapes and their images, for the methods image-to-….

    Args:
        out: The .npz to write.
        family: What the shapes are.
        count: How many; every tenth is held out.
        views: Images of each, from random sides.
        size: Pixels a side of the images.
        seed: Seed of the shapes and cameras.
    """
    check_output(out, (".npz",))
    if out.exists():
        raise InputError(f"{out}: exists already: choose another --out, or delete it")
    with tqdm(total=count, unit="shape") as bar:
        shapes, held_out = make_shapes(family, count, views, size, seed, on_bar(bar))
    save_shapes(out, shapes, held_out)
    print(out)


def predict(
    run: Annotated[Path, tyro.conf.Positional],
    photo: Annotated[Path, tyro.conf.Positional],
    out: Path,
    background: Behind = "alpha",
    device: Device = "auto",
) -> None:
    """Predict the shape in one photograph.

    The shape comes in the frame of what was learned: z up, the front at +y, its longest side 1.

    Args:
        run: The run folder of a method image-to-….
        photo: An image file: with alpha, or with the object on a constant --background.
        out: The file to write: .obj, .glb, .ply, .off or .stl for a mesh, .ply, .xyz or .npz
            for points, .npz or .binvox for voxels; of voxels a mesh' ending takes the surface.
        background: What is behind the object of a photograph without alpha.
        device: Where to compute.
    """
    check_output(out, ENDINGS)
    opened = open_run(run, pick_device(device))
    images = read_images([photo])
    if background != "alpha":
        color = torch.full((3,), 1.0 if background == "white" else 0.0)
        images = matte(images[..., :3], color)
    elif bool((images[..., 3] == 1).all()):
        raise InputError(
            f"{photo}: has no alpha, which would tell the object from what is behind it: cut "
            "it out, or give --background white or black"
        )
    shape = predict_shapes(opened, images)[0]
    save_shape(out, shape)
    print(out)


def show(figures: dict[str, Any]) -> None:
    """Print the figures that are numbers, and F1 by its thresholds if it is one of them."""
    for name, value in figures.items():
        if isinstance(value, float):
            print(f"{name:28} {value:.4g}")
    for threshold, value in zip(
        figures.get("thresholds", ()), figures.get("f1", ()), strict=True
    ):
        print(f"{f'f1 at {threshold:g}':28} {value:.4g}")

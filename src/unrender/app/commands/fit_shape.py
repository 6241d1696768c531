"""`unrender fit-shape`: fit a mesh, points, voxels or a field to a shape."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from unrender.app.choices import Up
from unrender.app.extension import Extension
from unrender.app.options import Option, Words
from unrender.app.output import default_folder, note
from unrender.errors import InputError
from unrender.methods.presets import find_preset
from unrender.training.options import FitOptions

Kind = Literal["mesh", "points", "voxels", "sdf", "occupancy"]


def extend(arguments: Sequence[str]) -> Extension:
    """The training time of shapes, which is shorter than that of scenes."""
    text = "Minutes of training; 1 if neither minutes nor steps are given."
    return Extension([Option("minutes", float, None, text, box="training", owner="training")])


def fit_shape(
    target: Annotated[Path, Words(positional=True, metavar="SHAPE")],
    kind: Annotated[Kind, Words(flag="as")] = "mesh",
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    up: Up = "auto",
    resume: bool = False,
    quiet: bool = False,
    training: FitOptions = FitOptions(),
) -> None:
    """Fit a mesh, points, voxels or a neural field to a shape, for a minute by default.

    The run folder gets the fitted shape's file, progress.gif and scores in evaluation.json.

    Args:
        target: A mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply, .xyz, .npz) or
            voxels (.binvox, .npz).
        kind: What is fitted: a sphere of triangles that deforms, points that move, cells that
            fill, a signed distance field or an occupancy field.
        out: The run folder to make (default: runs/SHAPE/METHOD/NUMBER).
        up: Which axis of a mesh file points up; auto takes y for .obj, .glb and .gltf, else z.
        resume: Continue the run in --out from its last checkpoint.
        quiet: Print the run folder only.
        training: The training loop.

    Examples:
        unrender fit-shape cow.obj --as sdf --minutes 1
    """
    from unrender.api.fit import SHAPE_PRESETS, check_free, fit_to  # noqa: PLC0415 - torch
    from unrender.app.outcome import report_fit  # noqa: PLC0415
    from unrender.training.data_kinds.shape import SHAPE, ShapeOptions  # noqa: PLC0415
    from unrender.training.run_folder import RunFolder  # noqa: PLC0415

    if training.steps is None and training.minutes is None:
        training = replace(training, minutes=1.0)
    name = SHAPE_PRESETS[kind]
    record = None
    if resume and out is None:
        raise InputError("--resume: name the run folder with --out")
    if resume and out is not None:
        record = RunFolder.open(out)
    folder = out or default_folder(str(target), name)
    if record is None:
        check_free(folder)
    note(f"Reading {target}", quiet)
    source = SHAPE.read(target, ShapeOptions(up))
    run = fit_to(
        find_preset(name).method(),
        source,
        training,
        preset=name,
        out=None if record is not None else folder,
        record=record,
        progress=not quiet,
    )
    report_fit(run, quiet)

"""Golden losses: every preset's first steps on tiny data, compared bit for bit.

    python benchmarks/golden.py [--only PRESET ...]            # exit code 1 on a difference
    python benchmarks/golden.py --write [--only PRESET ...]    # what is to be compared with
    python benchmarks/golden.py --altered PRESET ...           # the same for altered presets

A refactoring changes none of these numbers. Each preset is fitted by the library's own loop,
at seed 0 and on two threads; the loss of each step is kept, and a hash of what the model then
makes. Rounding depends on the processor, so results are kept by the width of its registers.
`--altered` removes a preset's values for all other widths, which no longer hold: it is compared
there again once somebody has written them there.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


import record
import torch
from torch import Tensor, nn

from unrender.data.builtin import render_scene
from unrender.data.builtin.families import FAMILIES
from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import Draw, ImageShapePairs
from unrender.data.picture import Picture
from unrender.data.shape_target import ShapeTarget
from unrender.data.view_sets.objects import ObjectStream
from unrender.data.views import Views, joined
from unrender.evaluation.view_sets import split
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.image_field import ImageFieldModel
from unrender.methods.mip_nerf import MipNeRF
from unrender.methods.presets import PRESETS
from unrender.rendering.shapes import cameras_around
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import torus
from unrender.shapes.voxels import VoxelGrid
from unrender.training.data_kinds.few_views import FEW_VIEWS, FewViews
from unrender.training.data_kinds.image import ONE_IMAGE
from unrender.training.data_kinds.image_shape_pairs import IMAGE_SHAPE_PAIRS
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.data_kinds.view_sets import VIEW_SETS
from unrender.training.fit import FitOptions, train
from unrender.training.method import Method
from unrender.training.run_folder import RunFolder

OUT = record.ROOT / "benchmarks/results/golden.json"
AnyMethod = Method[Any, Any]
STEPS, SEED, THREADS = 20, 0, 2
SIZE = 16
"""Pixels a side of the views and of the rendering."""
NOTES = ("machine", "torch")
"""What is kept beside the presets, to be named where values differ."""

LIMITS: dict[str, dict[str, int]] = {
    "*": {
        "rays": 32,
        "samples": 2048,
        "max_rays": 256,
        "batch": 512,
        "pixels": 128,
        "target_points": 1024,
        "points": 512,
        "query_points": 128,
        "pool_size": 8192,
        "log2_table_size": 14,
        "resolution": 32,
        "preview_cells": 32,
        "cells": 32,
        "occupancy_cells": 32,
        "channels": 16,
        "level": 2,
    },
    "nerf": {"rays": 12},
    "hypernerf": {"rays": 12, "coarse_bins": 16, "fine_bins": 16},
    "nerfies": {"rays": 12, "coarse_bins": 16, "fine_bins": 16},
    "mip-nerf*": {"rays": 16},
    "mip-nerf-360*": {"width": 256},
    "plenoxels*": {"coarsest": 24, "finest": 48},
    "dvgo*": {"coarse_vertices": 24, "finest": 32},
    # Gaussians move to others, and new ones join them, within the steps.
    "gaussian-splatting*": {
        "initial_gaussians": 300,
        "max_gaussians": 600,
        "relocate_every": 5,
    },
    "light-field": {
        "rays": 64,
        "patch": 8,
        "samples": 16,
        "width": 32,
        "hidden": 32,
        "views": 4,
        "epipolar_layers": 2,
        "view_layers": 2,
    },
    "light-field-fast": {"rays": 128, "patch": 8},
    # The field is drawn and its occupancy looked at within the steps.
    "neus*": {"update_every": 8},
    "volsdf*": {"update_every": 8},
    **{
        name: {
            "width": 64,
            "color_width": 64,
            "features": 32,
            "coarse_samples": 16,
            "bins": 16,
            "extra_samples": 8,
        }
        for name in ("neus", "volsdf")
    },
    "sit*": {"batch": 4, "width": 96, "depth": 2},
    "pose-regressor": {"batch": 4},
    "image-to-*": {"batch": 4, "target_points": 256},
    "view-*": {"batch": 4, "width": 80, "depth": 2, "encoder_depth": 1},
}
"""The greatest values of options by presets' names; those that are smaller stay."""

Golden = dict[str, Any]
"""`losses`, each step's in hexadecimal, and `rendering`, a hash."""


def main() -> None:
    """Write the values of the presets asked for, or compare them with the written ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the values in the file")
    parser.add_argument("--only", nargs="+", choices=PRESETS, metavar="PRESET")
    parser.add_argument("--altered", nargs="+", choices=PRESETS, metavar="PRESET")
    options = parser.parse_args()
    altered = options.altered or []
    sys.exit(run(altered or options.only, options.write or bool(altered), altered))


def run(only: list[str] | None, write: bool, altered: Sequence[str] = ()) -> int:
    """The exit code."""
    began = time.perf_counter()
    content = record.read(OUT).get("golden", {})
    committed = content.get(record.registers())
    if committed is None and not write:
        print(
            f"{OUT.name} has no values for processors with registers of {record.registers()}: "
            "nothing is compared; --write adds them"
        )
        return 0
    chosen = list(only or PRESETS)
    missing = set() if write else elsewhere_only(content, record.registers()) & set(chosen)
    for name in sorted(missing):
        print(f"{name}: has no values for registers of {record.registers()}: not compared")
    found = {name: measured(name) for name in chosen if name not in missing}
    seconds = time.perf_counter() - began
    print(f"{len(found)} presets in {seconds:.1f} s")
    notes = {"machine": record.processor(), "torch": torch.__version__}
    if write:
        kept = {**(committed or {}), **found}
        values = {name: kept[name] for name in PRESETS if name in kept}
        others = {
            kind: {name: own for name, own in each.items() if name not in altered}
            for kind, each in content.items()
        }
        content = {**others, record.registers(): {**notes, **values}}
        record.write(OUT, SEED, seconds, {}, golden=content)
        return 0
    assert committed is not None, "values are compared where there are some"
    lines = differences(committed, found, None if only else PRESETS)
    for line in lines:
        print(line)
    if lines:
        before, now = ([which[note] for note in NOTES] for which in (committed, notes))
        print(f"{len(lines)} differ; written on {before[0]} with torch {before[1]}, ", end="")
        print(f"found on {now[0]} with torch {now[1]}")
    return 1 if lines else 0


def elsewhere_only(content: Mapping[str, Mapping[str, Any]], registers: str) -> set[str]:
    """Presets that have values for other widths of registers, but not for this one."""
    others = {name for kind, each in content.items() if kind != registers for name in each}
    return others & set(PRESETS) - content.get(registers, {}).keys()


def measured(name: str) -> Golden:
    """`golden_of` a preset, with a line that says how long it took."""
    began = time.perf_counter()
    found = golden_of(name)
    print(f"{name:28} {time.perf_counter() - began:6.2f} s", flush=True)
    return found


def differences(
    committed: Mapping[str, Any],
    found: Mapping[str, Golden],
    known: Iterable[str] | None = None,
) -> list[str]:
    """A line for each preset that differs or is not in the file.

    With `known`, the names of all presets, also for each one of the file that is gone.
    """
    lines: list[str] = []
    for name, own in found.items():
        if name not in committed:
            lines.append(f"{name}: is not in the file: add it with --write --only {name}")
            continue
        before = committed[name]
        steps = zip(before["losses"], own["losses"], strict=True)
        for step, (old, new) in enumerate(steps, 1):
            if old != new:
                values = (
                    f"{float.fromhex(old)!r} ({old}) before, {float.fromhex(new)!r} ({new})"
                )
                lines.append(f"{name}: the loss of step {step} differs: {values} now")
                break
        else:
            if before["rendering"] != own["rendering"]:
                values = f"{before['rendering']} before, {own['rendering']} now"
                lines.append(f"{name}: all losses agree, but the rendering differs: {values}")
    if known is not None:
        gone = [name for name in committed if name not in NOTES and name not in known]
        lines += [f"{name}: is in the file, but is no preset" for name in gone]
    return lines


def golden_of(name: str) -> Golden:
    """Losses of the first steps of a preset, made small, and a hash of what it makes then."""
    # The loop takes the flushing of denormals back at its end.
    prepare_process()
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    method = reduced(name)
    case = case_for(method)
    options = FitOptions(steps=STEPS, log_every=1, seed=SEED, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        started = RunFolder.create(Path(folder) / "run", {})
        model, _ = train(method, case.data, options, started, show=False)
        rows = [json.loads(line) for line in started.metrics_file.read_text().splitlines()]
    assert len(rows) == STEPS, f"{name}: {len(rows)} losses were logged, not {STEPS}"
    # Numbers of JSON keep all digits.
    losses = [float(row["loss"]).hex() for row in rows]
    with torch.no_grad():
        return {"losses": losses, "rendering": digest(case.made(model))}


def reduced(name: str) -> AnyMethod:
    """A preset with its options within LIMITS."""
    method = PRESETS[name].method()
    assert dataclasses.is_dataclass(method), "methods are dataclasses"
    limits: dict[str, int] = {}
    for pattern, own in LIMITS.items():
        limits |= own if fnmatch(name, pattern) else {}
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    smaller = {
        option: most
        for option, most in limits.items()
        if option in values and values[option] > most
    }
    return dataclasses.replace(method, **smaller)


def digest(tensors: Iterable[Tensor]) -> str:
    """The first digits of a hash of the numbers."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


# The data of each kind of method, and what is made after the fit.


@dataclass(frozen=True)
class Case:
    """What a method is fitted to, and the tensors that are hashed afterwards."""

    data: Any
    made: Callable[[Any], list[Tensor]]


def case_for(method: AnyMethod) -> Case:  # noqa: PLR0911 - one for each kind of data
    """By the kind of the method."""
    if method.data is ONE_IMAGE:
        return Case(picture(), picture_of)
    if method.data is SHAPE:
        cameras = cameras_around(target().shape(), 8, SIZE).select(slice(1, 2))
        return Case(target(), lambda model: rendering_of(method, model, cameras))
    if method.data is IMAGE_SHAPE_PAIRS:
        return Case(shapes(), lambda model: prediction_of(method, model))
    if method.data is VIEW_SETS:
        return Case(objects(), lambda model: [novel_views_of(method, model)])
    views = chair()
    if method.moves:
        views = replace(views, cameras=views.cameras.at_times(torch.arange(len(views)) / 7))
    if method.data is FEW_VIEWS:
        data = FewViews(views[:2], views.cameras[2:], generated=views[2:])
        return Case(data, lambda model: rendering_of(method, model, views.cameras[:1]))
    if isinstance(method, MipNeRF) and method.by_area:
        half = SIZE // 2
        views = joined([views, views.resized(half, half)])
    if method.makes_images:
        camera = views.cameras.select(slice(0, 1))
        return Case(views, lambda model: rendering_of(method, model, camera))
    assert method.finds_poses, "what makes no images finds poses"
    return Case(views, lambda model: poses_of(method, model, views.images[:2]))


def rendering_of(method: AnyMethod, model: nn.Module, cameras: Cameras) -> list[Tensor]:
    """Colour, opacity and depth."""
    drawn = method.render(model, cameras)
    return [drawn.color, drawn.opacity, drawn.depth]


def prediction_of(method: AnyMethod, model: nn.Module) -> list[Tensor]:
    """The shape in one image."""
    first = Draw(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool))
    (found,) = method.predict(model, shapes().rgba(first))
    if isinstance(found, Mesh):
        return [found.vertices, found.faces]
    if isinstance(found, PointCloud):
        return [found.points]
    assert isinstance(found, VoxelGrid), "a shape is of three kinds"
    return [found.values]


def poses_of(method: AnyMethod, model: nn.Module, images: Tensor) -> list[Tensor]:
    """The poses in images, and their expected errors."""
    found = method.estimate_poses(model, images)
    return [found.cameras.world_from_camera, found.axis_errors, found.translation_error]


def novel_views_of(method: AnyMethod, model: nn.Module) -> Tensor:
    """An object from three sides, given one image."""
    batch = objects().draw(1, 4, STEPS, torch.Generator().manual_seed(SEED))
    views, cameras = split(batch, 0, 1)
    return method.novel_views(model, views, cameras, torch.Generator().manual_seed(SEED))


def picture_of(model: ImageFieldModel) -> list[Tensor]:
    """The picture as the field has it."""
    return [model.picture()]


@cache
def chair() -> Views:
    """The built-in chair from random sides."""
    generator = torch.Generator().manual_seed(SEED)
    poses = spherical_shell(8, (3.9, 4.1), generator, (0.1, 1.2))
    return render_scene("chair", Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE), 2)


@cache
def target() -> ShapeTarget:
    """A torus, upright."""
    return ShapeTarget.of_mesh("torus", torus(1.0, 0.4, 12, 24), 4096, SEED)


@cache
def picture() -> Picture:
    """Waves of three colors."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 32), indexing="ij")
    waves = [(9 * x).sin(), (7 * y + 3 * x).cos(), (20 * x * y).sin()]
    return Picture("waves", (torch.stack(waves, dim=2) + 1) / 2)


@cache
def shapes() -> ImageShapePairs:
    """Chairs, two images of each."""
    return make_shapes("chair", 4, 2, 2 * SIZE, SEED)[0]


@cache
def objects() -> ObjectStream:
    """Procedural objects of all families."""
    return ObjectStream(tuple(FAMILIES), 16, 1, 6, SIZE)


if __name__ == "__main__":
    main()

"""Commands about files: what a set of views is, and a run in other programs' formats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import tyro
from tqdm import tqdm

from unrender.api.comparison import compare_runs
from unrender.api.export import ENDINGS, export_run
from unrender.api.inspection import inspect as inspect_path
from unrender.api.inspection import inspect_run
from unrender.api.opened_run import open_run
from unrender.api.shape_tasks import inspect_shape
from unrender.api.tasks import make_folder
from unrender.data.structure_from_motion import process as reconstruct
from unrender.data.validate import Background
from unrender.errors import InputError
from unrender.shapes.files.shape import READABLE
from unrender.training.fit import Device, pick_device

SHAPES = tuple(ending for ending in READABLE if ending != ".npz")
"""Not .npz, which are views."""


def inspect(path: Annotated[Path, tyro.conf.Positional], out: Path | None = None) -> None:
    """Say what a run, a folder or file of posed images, or a shape is, and what looks wrong.

    Args:
        path: A run folder, a scene in any layout that `fit` reads, a list of cameras of
            RealEstate10K, or a mesh, points or voxels.
        out: Folder for cameras.png and index.html, which show the cameras and photographs.
    """
    if path.is_file() and path.suffix.lower() in SHAPES:
        facts, warnings = inspect_shape(path)
        tell(facts, warnings)
        return
    if (path / "config.json").is_file() and (path / "checkpoints").is_dir():
        tell(*inspect_run(path))
        return
    found = inspect_path(path)
    tell(found.summary.facts, found.summary.warnings)
    if out is not None:
        from unrender.report.inspect import write_inspection  # noqa: PLC0415 - matplotlib is slow

        make_folder(out)
        for file in write_inspection(
            out, found.name, found.summary, found.cameras, found.views
        ):
            print(file)


def tell(facts: Mapping[str, object], warnings: Sequence[str]) -> None:
    """Print what is known, a line each."""
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")
    for warning in warnings:
        print(f"warning: {warning}")


def process(
    source: Annotated[Path, tyro.conf.Positional],
    out: Path,
    frames: int = 100,
    size: int = 1600,
) -> None:
    """Find the cameras of photographs or of a film: a scene's folder for `fit`.

    Args:
        source: A folder of photographs, or a film.
        out: The folder to make: images/ and a COLMAP model in sparse/0/.
        frames: Frames that are taken of a film: the sharpest of as many equal stretches.
        size: Pixels of the longer side; larger images are made smaller.
    """
    bars: dict[str, tqdm[NoReturn]] = {}

    def stage(name: str, done: int, total: int) -> None:
        bar = bars.get(name)
        if bar is None:
            bar = bars[name] = tqdm(total=total, desc=name)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    try:
        found = reconstruct(source, out, frames, size, stage)
    finally:
        for bar in bars.values():
            bar.close()
    share = found.registered / found.photographs
    print(f"{found.registered} of {found.photographs} photographs placed ({share:.0%})")
    print(f"{found.points} points, {found.reprojection:.2f} pixels off in the mean")
    print(out)


def compare(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path = Path("comparison.html"),
    data: str | None = None,
    background: Background = "auto",
    device: Device = "auto",
) -> None:
    """Judge several scenes' runs on the same held-out views, and write one page.

    Args:
        runs: The run folders.
        out: The page to write.
        data: Views to be judged by; by default the test views of what the first was fitted to.
        background: Colour behind images without alpha.
        device: Where to compute.
    """
    if out.suffix != ".html" or not out.parent.is_dir():
        raise InputError(f"{out}: is no .html file in a folder that exists: change --out")
    compare_runs(list(runs), out, data, background, pick_device(device))
    print(out)


def export(
    run: Annotated[Path, tyro.conf.Positional],
    to: Path,
    voxels: int = 192,
    half_width: float | None = None,
    device: Device = "auto",
) -> None:
    """Write a fitted scene as a mesh, points, splats or cameras.

    Args:
        run: The run folder.
        to: mesh.obj, mesh.glb (whose y is up) or mesh.ply, points.ply, splats.ply, or
            cameras.json: the name decides.
        voxels: Voxels along each axis of the cube in which renders are fused to a mesh.
        half_width: Half the cube's side in scene units; by default what the cameras look at.
        device: Where to compute.
    """
    if to.suffix not in ENDINGS:
        raise InputError(f"{to}: ends in none of {', '.join(ENDINGS)}: change --to")
    if not to.parent.is_dir():
        raise InputError(f"{to}: {to.parent} is no folder: make it, or choose another --to")
    opened = open_run(run, pick_device(device))
    print(f"{to}: {export_run(opened, to, voxels, half_width)}")

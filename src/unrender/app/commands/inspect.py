"""`unrender inspect`: what a path holds, and what looks wrong with it."""

from pathlib import Path
from typing import Annotated

from unrender.app.choices import Split
from unrender.app.options import Words
from unrender.app.output import note, print_facts
from unrender.files import make_folder
from unrender.ranges import Range


def inspect(
    path: Annotated[Path, Words(positional=True, metavar="PATH")],
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    split: Split = "test",
    outside: bool = False,
    fov: Annotated[float | None, Range(1, 150), Words(metavar="DEGREES")] = None,
    reference_plane: Annotated[float | None, Range(0, 1e9), Words(metavar="DEPTH")] = None,
    quiet: bool = False,
) -> None:
    """Describe a dataset, a run, a shape or a folder of runs, and what looks wrong with it.

    Args:
        path: Posed images in any layout that `unrender fit` reads, a built-in scene (bricks,
            chair, hotdog; lamp, which moves; shiny, of metal, glass and a hologram), a run
            folder or a folder of runs, a camera list of RealEstate10K, or a mesh, points or
            voxels.
        out: Folder for cameras.png and index.html, which show the cameras and images. A scene
            that moves gets times.png, and a light field light_field.png, with its grid and
            epipolar-plane images.
        split: The split that is held out, where the data have several: test, or val.
        outside: Read images wherever the data say, also outside the folder above theirs.
        fov: For a light field whose names have no lens: the images' horizontal field of view.
        reference_plane: For such names: depth of the plane to which the images were rectified;
            0 for images that were not.
        quiet: Print the description only.

    Examples:
        unrender inspect scene --out look
    """
    from unrender.app.inspect import (  # noqa: PLC0415 - imports torch
        advice,
        inspect_run,
        inspect_shape,
        is_run,
        runs_below,
    )
    from unrender.app.inspect import inspect as inspect_path  # noqa: PLC0415
    from unrender.data.options import LoadOptions  # noqa: PLC0415
    from unrender.shapes.files.shape import KNOWN  # noqa: PLC0415

    # An .npz holds views.
    if path.is_file() and path.suffix.lower() in KNOWN and path.suffix.lower() != ".npz":
        print_facts(*inspect_shape(path))
        return
    if is_run(path):
        print_facts(*inspect_run(path))
        return
    runs = runs_below(path) if path.is_dir() else {}
    if runs:
        print_facts(runs, [])
        return
    note(f"Reading {path}", quiet)
    options = LoadOptions(
        split=split, outside=outside, fov=fov, reference_plane=reference_plane
    )
    found = inspect_path(path, options)
    print_facts(found.summary.facts, found.summary.warnings, found.summary.notes)
    if found.views is not None and not quiet:
        print(f"advice: {advice(found.views, path)}")
    if out is not None:
        from unrender.report.inspect import write_inspection  # noqa: PLC0415 - matplotlib

        make_folder(out)
        for file in write_inspection(
            out,
            found.name,
            found.summary,
            found.cameras,
            found.views,
            found.ids,
            found.held_out,
        ):
            print(file)

"""`unrender export`: a run as files for other programs."""

from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_target
from unrender.training.options import Device

ENDINGS = (".obj", ".glb", ".ply", ".json")


def export(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    file: Annotated[Path | None, Words(positional=True, metavar="FILE")] = None,
    to: Annotated[Path | None, Words(metavar="FILE")] = None,
    voxels: int = 192,
    half_width: float | None = None,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Write a run as a mesh, points, splats or cameras.

    Args:
        run: The run folder.
        file: What to write; the name decides: mesh.obj, mesh.glb (whose y is up), mesh.ply,
            points.ply, splats.ply (Gaussians) or cameras.json.
        to: The same as FILE.
        voxels: Voxels along each axis of the cube in which rendered depths are fused to a mesh.
        half_width: Half the cube's side in scene units; by default what the cameras look at.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Do not show progress.

    Examples:
        unrender export runs/bricks bricks.glb
        unrender export runs/garden splats.ply
    """
    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.app.export import export_run  # noqa: PLC0415

    target = file or to
    if target is None or (file is not None and to is not None):
        raise InputError("name one file to write: unrender export RUN mesh.glb")
    check_target(target, ENDINGS)
    for name, value, valid in (
        ("voxels", voxels, 16 <= voxels <= 512),
        ("half-width", half_width, half_width is None or 0 < half_width < float("inf")),
    ):
        if not valid:
            need = "16 to 512" if name == "voxels" else "a positive length"
            raise InputError(f"--{name} {value}: give {need}")
    opened = Run.open(run, device)
    note(f"Exporting {run} to {target}", quiet)
    print(f"{target}: {export_run(opened, target, voxels, half_width, not quiet)}")

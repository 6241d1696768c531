"""`unrender export`: a run as files for other programs."""

from pathlib import Path
from typing import Annotated

from unrender.api.mesh_options import Box, Frames, MeshOptions
from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_target
from unrender.training.options import Device

ENDINGS = (".obj", ".glb", ".ply", ".json")
FRAMES = 24
"""Of a sequence, and a second, by default."""


def export(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    file: Annotated[tuple[Path, ...], Words(positional=True, metavar="FILE")] = (),
    to: Annotated[Path | None, Words(metavar="FILE")] = None,
    faces: Annotated[int | None, Words(box="mesh")] = None,
    crop: Annotated[Box | None, Words(metavar="X Y Z X Y Z", box="mesh")] = None,
    all_parts: Annotated[bool, Words(box="mesh")] = False,
    texture: Annotated[int | None, Words(metavar="PIXELS", bare=1024, box="mesh")] = None,
    upright: Annotated[bool, Words(box="mesh")] = True,
    voxels: Annotated[int | None, Words(box="mesh")] = None,
    half_width: Annotated[float | None, Words(metavar="LENGTH", box="mesh")] = None,
    time: Annotated[float | None, Words(metavar="T", box="moving scenes")] = None,
    sequence: Annotated[
        int | None, Words(metavar="FRAMES", bare=FRAMES, box="moving scenes")
    ] = None,
    times: Annotated[
        tuple[float, float] | None, Words(metavar="FIRST LAST", box="moving scenes")
    ] = None,
    fps: Annotated[int, Words(box="moving scenes")] = FRAMES,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Write a run as a mesh, points, splats or cameras.

    The mesh is that on which depths rendered from the training cameras agree: its largest
    connected part, cropped to what the cameras look at. It is upright, with the up direction
    that the run's turntable has: y in .glb and .obj, z in .ply. Splats and cameras keep the
    run's own frame. Colors are photographic; a .glb says so, and is shown without shading.

    Of a scene that moves it is the canonical scene, or the scene at --time, or one mesh that
    moves, with --sequence: a .glb with an animation, or a numbered file for each frame.

    Args:
        run: The run folder.
        file: What to write; several are made from one surface. The name decides: mesh.obj,
            mesh.glb, mesh.ply, points.ply, splats.ply (Gaussians) or cameras.json.
        to: The same as one FILE.
        faces: Simplify to this many faces at most (default: 100,000; 20,000 with --texture).
        crop: Keep what is in this box: its lower corner, then its upper one, in scene units in
            the mesh's frame, z up as in .ply. By default what the cameras look at.
        all_parts: Keep all connected parts, not the largest alone.
        texture: Bake a texture with so many pixels along its longer side, 1024 without a
            number, for .glb and .obj; .ply keeps vertex colors. Needs xatlas: pip install
            'unrender[texture]'.
        upright: Turn the mesh upright; without, it is in the frame of the run's cameras.
        voxels: Voxels along the surface's longest side in which depths are fused; by default as
            fine as the rendered pixels, 64 to 256.
        half_width: Instead of --crop, half the side of a cube about what the cameras look at.
        time: When to take a moving scene, in the unit of the training views' times; by default
            its canonical scene.
        sequence: Write a mesh that moves, in so many frames (24 without a number), of 20,000
            faces at most: as morph targets of a .glb, or as NAME_0000.ply and so on.
        times: Let the sequence's time run from FIRST to LAST instead of through the whole film.
        fps: Frames per second of the animation in a .glb.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Do not show progress.

    Examples:
        unrender export runs/bricks bricks.glb
        unrender export runs/garden garden.glb garden.obj points.ply --faces 20000
        unrender export runs/garden splats.ply
        unrender export runs/lamp lamp.glb --sequence 48
    """
    files = [*file, *([] if to is None else [to])]
    if not files:
        raise InputError("name one file to write, or several: unrender export RUN mesh.glb")
    for target in files:
        check_target(target, ENDINGS)
    options = MeshOptions(faces, crop, all_parts, texture, upright, voxels, half_width, time)
    if times is not None and sequence is None:
        raise InputError("--times: needs --sequence; --time T writes the scene at one time")
    moving = None if sequence is None else Frames(sequence, times, fps)
    note(f"Exporting {run} to {', '.join(map(str, files))}", quiet)

    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.app.export import export_run  # noqa: PLC0415

    for line in export_run(Run.open(run, device), files, options, quiet, moving):
        print(line)

"""`unrender predict`: the shape in one photo."""

from pathlib import Path
from typing import Annotated, Literal

from unrender.app.options import Words
from unrender.files import check_target
from unrender.training.options import Device


def predict(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    photo: Annotated[Path, Words(positional=True, metavar="PHOTO")],
    out: Annotated[Path, Words(metavar="FILE")],
    background: Literal["alpha", "white", "black"] = "alpha",
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Predict the shape in one photo.

    The shape is in the frame of the training shapes: z up, the front at +y, its longest side 1.
    It can only be of the kind that the run was trained on: a run of chairs makes a chair of
    a car.

    Args:
        run: The run folder of a method image-to-….
        photo: An image file with alpha, or with the object on a constant --background.
        out: The file to write: .obj, .glb, .ply, .off or .stl for a mesh, .ply, .xyz or .npz
            for points, .npz or .binvox for voxels; from voxels a mesh's ending takes the
            surface.
        background: What is behind the object in the photo; alpha says so itself.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the file only.

    Examples:
        unrender predict runs/chairs photo.png --out chair.glb
    """
    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.app.inspect import describe_shape  # noqa: PLC0415
    from unrender.shapes.files.shape import WRITABLE, save_shape  # noqa: PLC0415

    endings = sorted({ending for endings in WRITABLE.values() for ending in endings})
    check_target(out, endings)
    behind = None if background == "alpha" else background
    opened = Run.open(run, device)
    shape = opened.predict(photo, background=behind)
    save_shape(out, shape)
    if not quiet:
        print(f"{describe_shape(shape)}; trained on {opened.source or 'data in memory'}")
        print(f"Next: unrender render {out} --out turn.gif")
    print(out)

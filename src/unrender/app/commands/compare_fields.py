"""`unrender compare-fields`: every kind of neural field, fitted to one image."""

from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.errors import InputError
from unrender.training.options import Device, FitOptions


def compare_fields(
    image: Annotated[Path | None, Words(positional=True, metavar="IMAGE")] = None,
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    image_option: Annotated[Path | None, Words(flag="image", metavar="IMAGE")] = None,
    steps: int | None = None,
    minutes: float | None = None,
    pixels: int = 512,
    seed: int = 0,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Fit every kind of field to one image with one budget, and write a page about it.

    Args:
        image: An image: PNG, JPEG, WebP, BMP, TIFF, GIF or PPM.
        out: The folder to make: index.html, progress.gif and a run folder for each kind
            (default: runs/IMAGE/fields/NUMBER).
        image_option: The same as IMAGE.
        steps: Steps of each fit; 2000 if neither --steps nor --minutes is given.
        minutes: Minutes of each fit; with --steps too, whichever ends first.
        pixels: Random pixels per step.
        seed: Seed of all random numbers.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the page only.

    Examples:
        unrender compare-fields photo.jpg --steps 1000
    """
    from unrender.app.output import default_folder  # noqa: PLC0415
    from unrender.data.picture import read_picture  # noqa: PLC0415 - imports torch
    from unrender.studies.field_comparison import compare_fields as compare  # noqa: PLC0415

    path = image or image_option
    if path is None:
        raise InputError("IMAGE is missing: unrender compare-fields IMAGE --out FOLDER")
    if pixels < 1:
        raise InputError(f"--pixels {pixels}: give at least 1")
    if steps is None and minutes is None:
        steps = 2000
    options = FitOptions(steps=steps, minutes=minutes, seed=seed, device=device)
    folder = out or default_folder(str(path), "fields")
    print(compare(read_picture(path), folder, options, pixels, show=not quiet))

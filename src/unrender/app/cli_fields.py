"""Commands about fields."""

from dataclasses import replace
from pathlib import Path

from unrender.data.picture import read_picture
from unrender.errors import InputError
from unrender.training.fit import Device, FitOptions


def compare_fields(
    image: Path,
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    pixels: int = 512,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Fit every kind of field to one picture with one budget, and write a page about it.

    Args:
        image: A photograph: PNG, JPEG, WebP, BMP, TIFF, GIF or PPM.
        out: The folder to make: index.html, progress.gif and a run folder for each kind.
        steps: Steps of each fit; without --steps and --minutes, 2,000.
        minutes: Minutes of each fit; with --steps too, whichever ends first.
        pixels: Random pixels of each step.
        seed: Seed of all that is drawn at random.
        device: Where to compute.
    """
    from unrender.studies.field_comparison import compare_fields as compare  # noqa: PLC0415 - slow

    if pixels < 1:
        raise InputError(f"--pixels {pixels}: give at least 1")
    if steps is None and minutes is None:
        steps = 2000
    options = replace(FitOptions(), steps=steps, minutes=minutes, seed=seed, device=device)
    print(compare(read_picture(image), out, options, pixels))

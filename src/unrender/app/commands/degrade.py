"""`unrender degrade`: posed images as a worse capture would have recorded them."""

from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.app.output import note
from unrender.data.degradation import Degradation
from unrender.errors import InputError
from unrender.files import check_new


def degrade(
    data: Annotated[str, Words(positional=True, metavar="DATA")],
    out: Annotated[Path, Words(metavar="FOLDER")],
    how: Degradation = Degradation(),
    test: bool = False,
    hold_out: int = 10,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Make posed images worse, as a camera in bad conditions would have recorded them.

    Light is blurred by the lens and the camera's motion, averaged over pixels, counted as
    photons, amplified, and encoded, in this order. Held-out views stay as they are, so that
    fits are judged by the truth.

    Args:
        data: Posed images in any layout that `unrender fit` reads, or a built-in scene.
        out: The folder to make, of images and cameras: in the layout of Nerfies for data with
            the points of a reconstruction, which others do not keep, and else of Blender.
        how: What is wrong.
        test: Degrade the held-out views too.
        hold_out: Hold out every N-th view, where the data have no test split; 0 for none.
        seed: Seed of the noise, and of what differs from image to image.
        quiet: Print the folder only.

    Examples:
        unrender degrade scene --out dark --photons 50 --read-noise 3
        unrender degrade scene --out shaken --motion-blur 12 --blurred-share 0.5
        unrender degrade lego --out film --downscale 2 --motion-blur 3 --video 35
    """
    if how == Degradation():
        raise InputError("nothing is to be degraded: give --photons, --motion-blur or another")
    check_new(out)
    note(f"Reading {data}", quiet)
    from unrender.api.data import load  # noqa: PLC0415 - imports torch
    from unrender.data.degrade import degrade_dataset  # noqa: PLC0415

    made = degrade_dataset(load(data, hold_out=hold_out), how, seed, test)
    made.save(out, "blender" if made.train.points is None else "nerfies")
    print(out)
    if not quiet:
        print(f"Next: unrender fit auto --data {out}")

"""`unrender process`: cameras of photos or of a video."""

from pathlib import Path
from typing import Annotated

from unrender.app.choices import SceneLayout
from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_new


def process(
    source: Annotated[Path, Words(positional=True, metavar="PHOTOS")],
    out: Annotated[Path, Words(metavar="FOLDER")],
    frames: int = 100,
    size: int = 1600,
    layout: SceneLayout | None = None,
    card: Annotated[str | None, Words(metavar="WxH")] = None,
    quiet: bool = False,
) -> None:
    """Estimate the cameras of photos or of a video by COLMAP: data for `unrender fit`.

    Needs pycolmap: pip install 'unrender[sfm]'.

    Args:
        source: A folder of photos, or a video. With another --layout than colmap, also posed
            images as for `unrender fit`, which keep their cameras.
        out: The folder to make: images/ and a COLMAP model in sparse/0/; of a video also
            times.json, the seconds of its frames.
        frames: Frames taken of a video: the sharpest of as many equal intervals.
        size: Pixels of the longer side; larger images are downscaled.
        layout: colmap, the default; or blender, the default with --card, or nerfies, a folder
            of undistorted images in that layout, of which every tenth is held out.
        card: Width and height of a flat card, all of which each photo shows on a ground of
            another color. Cameras follow from its outline, without COLMAP; lengths of the scene
            are in the same unit.
        quiet: Print the folder only.

    Examples:
        unrender process photos --out scene
        unrender process video.mp4 --out scene --frames 150
        unrender process photos --out scene --card 85.6x53.98
        unrender process lamp --out scene --layout nerfies
    """
    from unrender.api.data import process_scene  # noqa: PLC0415 - imports torch
    from unrender.data.structure_from_motion import apart_in_words  # noqa: PLC0415

    for name, value in (("frames", frames), ("size", size)):
        if value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    check_new(out)
    sides = None if card is None else _sides(card)
    found = process_scene(source, out, frames, size, layout, not quiet, sides)
    if quiet or found is None:
        print(out)
        return
    share = found.registered / found.photographs
    print(f"Cameras found for {found.registered} of {found.photographs} images ({share:.0%}).")
    for name, reason in found.left:
        print(f"Left out {name}: {reason}.")
    what = f"{found.points} points" if card is None else "The card's corners"
    print(f"{what}, mean reprojection error {found.reprojection:.2f} pixels.")
    if found.apart:
        note(f"note: {apart_in_words(found.apart)}")
    print(f"Dataset: {out}")
    print(f"Next: unrender fit auto --data {out}")


def _sides(card: str) -> tuple[float, float]:
    """Width and height. InputError unless there are two numbers with an x between them."""
    try:
        width, height = (float(side) for side in card.lower().replace("×", "x").split("x"))
    except ValueError as error:
        raise InputError(
            f"--card {card}: give width and height, such as 85.6x53.98 for a bank or student "
            "card in millimeters"
        ) from error
    return width, height

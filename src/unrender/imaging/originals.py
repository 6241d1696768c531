"""Copies of photographs that keep what re-encoding would lose: EXIF data, alpha and quality."""

import shutil
from pathlib import Path

from PIL import Image, ImageOps

from unrender.errors import InputError, one_line
from unrender.files.quiet import quiet
from unrender.imaging.files import (
    DECODING_ERRORS,
    FORMATS,
    image_header,
    orientation_of,
)

COPIED = ("JPEG", "PNG")
"""Formats that are copied; COLMAP does not read all others."""
MODEL, FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x0110, 0x920A, 0xA405
EXIF_IFD, EXIF_WIDTH, EXIF_HEIGHT = 0x8769, 0xA002, 0xA003
"""Tags of the Exif standard (CIPA DC-008)."""


def copy_photograph(path: Path, folder: Path, stem: str, size: int) -> Path:
    """Copy a photograph into a folder, byte by byte where that is possible.

    A PNG named `stem` is written instead, lossless and with the same EXIF data and alpha, if
    the longer side exceeds `size` pixels (it is downscaled by area), if EXIF says that the
    photograph has to be turned, and for formats other than JPEG and PNG. Returns the new file.
    Raises InputError if the photograph is missing or damaged, or if the new name is taken.
    """
    width, height = image_header(path).size
    try:
        with quiet(), Image.open(path, formats=FORMATS) as image:
            image.load()
            small = max(width, height) <= size
            turned = orientation_of(image) != 1
            copied = small and not turned and image.format in COPIED
            target = folder / (path.name if copied else f"{stem}.png")
            if target.exists():
                raise InputError(
                    f"{path}: there is another photograph {target.name}: rename one"
                )
            if copied:
                shutil.copyfile(path, target)
            else:
                _write(ImageOps.exif_transpose(image), target, size)
    except DECODING_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: the image is damaged ({one_line(error)}); copy it again"
        ) from error
    return target


def exif_lens(path: Path) -> tuple[str, ...]:
    """Model of the camera and focal lengths as EXIF has them; empty words where it does not."""
    try:
        with quiet(), Image.open(path, formats=FORMATS) as image:
            exif = image.getexif()
            fields = exif.get_ifd(EXIF_IFD)
    except DECODING_ERRORS:
        return ()
    values = (exif.get(MODEL), fields.get(FOCAL_LENGTH), fields.get(FOCAL_LENGTH_35MM))
    return tuple("" if value is None else str(value) for value in values)


def _write(image: Image.Image, target: Path, size: int) -> None:
    exif, profile = image.getexif(), image.info.get("icc_profile")
    scale = size / max(image.size)
    transparent = image.has_transparency_data
    if not image.mode.startswith("I"):  # Not 16-bit grayscale.
        # Multiplied by alpha, so that hidden colors do not leak into visible ones.
        image = image.convert("RGBA").convert("RGBa") if transparent else image.convert("RGB")
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    fields = exif.get_ifd(EXIF_IFD)
    if fields:
        fields[EXIF_WIDTH], fields[EXIF_HEIGHT] = image.size
    image.save(target, format="PNG", exif=exif.tobytes(), icc_profile=profile)

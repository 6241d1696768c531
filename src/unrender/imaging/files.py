"""Reading and writing of images.

PNG files store straight alpha: colors are not multiplied by alpha. Everything else in this
library uses premultiplied alpha: colors are multiplied by alpha.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import check_file, replacing
from unrender.files.data_folder import is_hidden
from unrender.files.memory import check_memory
from unrender.files.quiet import quiet
from unrender.imaging.color import premultiply

MAX_PIXELS = 64_000_000
"""Larger images are rejected before they are decoded."""

BYTES_PER_PIXEL = 20
"""Memory that decoding takes: Pillow's pixels, 8 bits of four channels, and floats of them."""
STILLS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Formats that are written, by the ending."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of the images of a scene, in any case."""
ROWS_AT_ONCE = 128
QUALITY = 95
"""Compression quality of JPEG and WebP."""

# Only formats that Pillow decodes itself; for some others it starts external programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
TARGA = ".tga"
"""The ending of TGA, whose files are told from others by nothing else."""

DECODING_ERRORS = (Exception,)
"""Pillow's decoders raise nearly every exception for damaged files."""

MAX_RATIO = 1040
"""Bytes of pixels that a byte of PNG or JPEG can hold at most: DEFLATE's limit is 1032."""

ORIENTATION = 0x0112
"""Tag of the Exif standard (CIPA DC-008)."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its orientation; 1 is upright."""
DRAFTS = (8, 4, 2)
"""Factors by which JPEG can be decoded smaller."""

_pillow_limit = threading.Lock()


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before its pixels are decoded."""

    width: int
    """Of the pixels as they are stored."""
    height: int
    channels: int
    """3, or 4 with any kind of transparency."""
    deep: bool = False
    """Whether it is 16-bit grayscale."""
    orientation: int = 1
    """EXIF orientation, 1 to 8; 1 is upright."""

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once it is turned."""
        return (self.height, self.width) if self.orientation >= 5 else self.size


def read_image(
    path: Path, max_pixels: int = MAX_PIXELS, upright: bool = False
) -> Float[Tensor, "height width channels"]:
    """Read an image as RGB or straight RGBA in [0, 1].

    Grayscale and palette images become RGB, and images with any kind of transparency RGBA.
    `upright` applies the EXIF orientation of photos. InputError if the file is missing, is not
    an image, is truncated, or has more than `max_pixels`.
    """
    check_file(path)
    return decode_image(path, str(path), max_pixels, upright)


def decode_image(
    source: Path | BytesIO, label: str, max_pixels: int = MAX_PIXELS, upright: bool = False
) -> Float[Tensor, "height width channels"]:
    """Like `read_image`, also for images inside other files; `label` names it in messages."""
    with _opened(source, label, max_pixels) as image, _decoding(label, image):
        pixels = _decode(image, label, orientation_of(image) if upright else 1)
        whole = np.float32(255) if pixels.dtype == np.uint8 else np.float32(1)
        return torch.from_numpy(pixels.astype(np.float32) / whole)


def read_pixels(
    path: Path, orientation: int = 1, smaller: int = 1
) -> UInt8[Tensor, "height width _"] | Float[Tensor, "height width _"]:
    """Like `read_image`, but as 8 bits; only 16-bit grayscale as floats in [0, 1].

    The image is turned upright by the `orientation`. JPEG whose sides are multiples of
    `smaller` is decoded smaller by the largest factor of it that JPEG has: 8, 4 or 2.
    """
    check_file(path)
    with _opened(path, str(path), MAX_PIXELS) as image, _decoding(str(path), image):
        for factor in DRAFTS:
            width, height = image.size
            if not (smaller % factor or width % factor or height % factor):
                image.draft(None, (width // factor, height // factor))
                break
        return torch.from_numpy(_decode(image, str(path), orientation))


def image_header(path: Path, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """What a file says of its image, without decoding the pixels. InputError."""
    check_file(path)
    with _opened(path, str(path), max_pixels) as image, _decoding(str(path), image):
        channels = 4 if image.has_transparency_data else 3
        deep = image.mode.startswith("I")
        return ImageHeader(*image.size, channels, deep, orientation_of(image))


def is_image_file(path: Path) -> bool:
    """Whether a file has an image's ending, and is not hidden as those of macOS, `._*`."""
    return path.suffix.lower() in ENDINGS and not is_hidden(path.name)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is missing, damaged or unknown."""
    if image.format == "TIFF":
        return 1  # Pillow turns it.
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DECODING_ERRORS:
        return 1
    return found if found in UPRIGHT else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned upright by an EXIF orientation."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def read_uint16(path: Path) -> Int[Tensor, "height width"]:
    """Read 16-bit grayscale, such as depth maps. InputError if the image is of another kind."""
    check_file(path)
    with _opened(path, str(path), MAX_PIXELS) as image, _decoding(str(path), image):
        if image.has_transparency_data or not image.mode.startswith("I"):
            raise InputError(f"{path}: has pixels of mode {image.mode}; give 16-bit grayscale")
        return torch.from_numpy(np.asarray(image, dtype=np.int32)).long()


def _opened(source: Path | BytesIO, label: str, max_pixels: int) -> Image.Image:
    """Read only the header. InputError if it is no image's, or has too many pixels."""
    try:
        # Pillow's own limit gives way to `max_pixels`.
        with _pillow_limit, quiet():
            limit = Image.MAX_IMAGE_PIXELS
            Image.MAX_IMAGE_PIXELS = None
            try:
                targa = isinstance(source, Path) and source.suffix.lower() == TARGA
                image = Image.open(source, formats=("TGA",) if targa else FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        width, height = image.size
    except DECODING_ERRORS as error:
        raise InputError(
            f"{label}: cannot be read as an image ({one_line(error)}); "
            f"use one of {', '.join(FORMATS)}"
        ) from error
    if width * height > max_pixels:
        image.close()
        raise InputError(
            f"{label}: {width}x{height} is more than the {max_pixels:,} pixels an image "
            "may have; downscale it"
        )
    held = source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes
    # A pixel takes a bit or more.
    if image.format in ("PNG", "JPEG") and width * height > 8 * MAX_RATIO * held:
        image.close()
        raise InputError(
            f"{label}: claims {width}x{height} pixels but has {held} bytes; it is damaged: "
            "copy it again"
        )
    return image


@contextmanager
def _decoding(label: str, image: Image.Image) -> Generator[None]:
    """InputError if the pixels are damaged."""
    try:
        with quiet(standard_error=image.format == "TIFF"):
            yield
    except InputError:
        raise
    except DECODING_ERRORS as error:
        raise InputError(
            f"{label}: the image is damaged ({one_line(error)}); copy it again"
        ) from error


def _decode(image: Image.Image, label: str, orientation: int) -> np.ndarray[Any, np.dtype[Any]]:
    """8 bits, or floats in [0, 1] of 16-bit grayscale, turned upright. InputError."""
    size = image.width * image.height * BYTES_PER_PIXEL
    check_memory(label, size, "close other programs, or downscale it")
    image = turned(image, orientation)
    if image.mode.startswith("I"):  # 16-bit grayscale
        gray = np.asarray(image, dtype=np.float32)[..., None] / np.float32(65535)
        return np.repeat(gray.clip(0, 1), 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    whole = image if image.mode == mode else image.convert(mode)
    pixels = np.empty((whole.height, whole.width, len(mode)), np.uint8)
    # In strips, because NumPy is given copies.
    for top in range(0, whole.height, ROWS_AT_ONCE):
        box = (0, top, whole.width, min(top + ROWS_AT_ONCE, whole.height))
        pixels[top : top + ROWS_AT_ONCE] = np.asarray(whole.crop(box))
    return pixels


def read_rgba(path: Path, orientation: int | None = None) -> Float[Tensor, "height width 4"]:
    """Read an image as premultiplied RGBA; opaque if it has no alpha.

    It is turned by the `orientation`, by default that of its EXIF data.
    """
    if orientation is None:
        orientation = image_header(path).orientation
    pixels = read_pixels(path, orientation)
    image = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    if image.shape[-1] == 3:
        return torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
    return premultiply(image)


def to_bytes(image: Float[Tensor, "*batch channels"]) -> UInt8[Tensor, "*batch channels"]:
    """Convert [0, 1] to 0…255, with rounding and clamping."""
    return image.detach().cpu().clamp(0, 1).mul_(255).round_().to(torch.uint8)


def png_bytes(image: Float[Tensor, "height width channels"], optimize: bool = False) -> bytes:
    """An image in [0, 1] as a PNG file; `optimize` takes longer for a smaller file."""
    stream = BytesIO()
    Image.fromarray(to_bytes(image).numpy()).save(stream, "PNG", optimize=optimize)
    return stream.getvalue()


def write_image(path: Path, image: Float[Tensor, "height width channels"]) -> None:
    """Write RGB or straight RGBA in [0, 1] as the ending says, atomically, with 8 bits.

    JPEG and WebP are without alpha. InputError for other endings than STILLS.
    """
    kind = STILLS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: images are written as {', '.join(STILLS)}; change the ending"
        )
    assert image.shape[-1] in {3, 4}, f"images have 3 or 4 channels, not {image.shape[-1]}"
    pixels = Image.fromarray(to_bytes(image).numpy())
    with replacing(path) as temporary:
        if kind == "PNG":
            pixels.save(temporary, kind)
        else:
            pixels.convert("RGB").save(temporary, kind, quality=QUALITY)

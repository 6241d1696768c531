"""Images and films on disk.

Straight alpha: colours as they would be without their transparency, as PNG files hold them.
Premultiplied: colours times alpha, as everything else in this library holds them.
"""

import math
import struct
import threading
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import replacing
from unrender.imaging.color import premultiply

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded."""

WATCHABLE = 256
"""Films narrower and lower than this many pixels are enlarged."""

# Only formats that Pillow decodes itself; some of the others start programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

# What Pillow's decoders are known to raise on damaged files.
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)

_pillow_limit = threading.Lock()


def read_image(
    path: Path, max_pixels: int = MAX_PIXELS, upright: bool = False
) -> Float[Tensor, "height width channels"]:
    """RGB or straight RGBA in [0, 1], as in the file.

    Grey and palette images become RGB, those with transparency of any kind RGBA. `upright`
    obeys the orientation that cameras note in photographs. Raises InputError for a file that
    is missing, no image, truncated, or larger than `max_pixels`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such image; check the path")
    return decode_image(path, str(path), max_pixels, upright)


def decode_image(
    source: Path | BytesIO, label: str, max_pixels: int = MAX_PIXELS, upright: bool = False
) -> Float[Tensor, "height width channels"]:
    """As `read_image`, also from within another file; `label` names it in messages."""
    try:
        image = _open(source)
    except DECODING_ERRORS as error:
        raise InputError(
            f"{label}: cannot be read as an image ({one_line(error)}); "
            f"use one of {', '.join(FORMATS)}"
        ) from error
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise InputError(
                f"{label}: {width}x{height} is more than the {max_pixels:,} pixels an image "
                "may have; make it smaller"
            )
        try:
            values = _decode(ImageOps.exif_transpose(image) if upright else image)
        except DECODING_ERRORS as error:
            raise InputError(
                f"{label}: the image is damaged ({one_line(error)}); copy it again"
            ) from error
    return torch.from_numpy(values)


def image_header(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """(width, height, channels) that `read_image` will give, without decoding the pixels."""
    if not path.is_file():
        raise InputError(f"{path}: no such image; check the path")
    try:
        with _open(path) as image:
            width, height = image.size
            channels = 4 if image.has_transparency_data else 3
    except DECODING_ERRORS as error:
        raise InputError(
            f"{path}: cannot be read as an image ({one_line(error)}); "
            f"use one of {', '.join(FORMATS)}"
        ) from error
    if width * height > max_pixels:
        raise InputError(
            f"{path}: {width}x{height} is more than the {max_pixels:,} pixels an image "
            "may have; make it smaller"
        )
    return width, height, channels


def read_whole_numbers(path: Path) -> Int[Tensor, "height width"]:
    """The pixels of a grey image of 16 bits, as depth cameras write them. InputError."""
    _, _, channels = image_header(path)
    try:
        with _open(path) as image:
            if channels != 3 or not image.mode.startswith("I"):
                raise InputError(
                    f"{path}: has pixels of kind {image.mode}; give 16 bits of grey"
                )
            return torch.from_numpy(np.asarray(image, dtype=np.int32)).long()
    except DECODING_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: the image is damaged ({one_line(error)}); copy it again"
        ) from error


def _open(source: Path | BytesIO) -> Image.Image:
    """Read the header only. Pillow's own limit is lifted for that moment: the callers check."""
    with _pillow_limit:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(source, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = np.asarray(image, dtype=np.float32)[..., None] / np.float32(65535)
        return np.repeat(grey.clip(0, 1), 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    converted = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(converted, dtype=np.float32) / np.float32(255)


def read_rgba(path: Path, max_pixels: int = MAX_PIXELS) -> Float[Tensor, "height width 4"]:
    """Read a photograph, upright, as premultiplied RGBA; opaque without alpha."""
    image = read_image(path, max_pixels, upright=True)
    if image.shape[-1] == 3:
        return torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
    return premultiply(image)


def to_bytes(image: Float[Tensor, "*batch channels"]) -> UInt8[Tensor, "*batch channels"]:
    """[0, 1] to 0…255, rounded; values outside are clamped."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def write_image(path: Path, image: Float[Tensor, "height width channels"]) -> None:
    """RGB or straight RGBA in [0, 1] as an 8-bit PNG, whole or not at all."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: images are written as .png; change the ending")
    assert image.shape[-1] in {3, 4}, f"images have 3 or 4 channels, not {image.shape[-1]}"
    with replacing(path) as temporary:
        Image.fromarray(to_bytes(image).numpy()).save(temporary, format="PNG")


def write_video(
    path: Path,
    frames: Float[Tensor, "frames height width 3"] | UInt8[Tensor, "frames height width 3"],
    fps: int,
) -> None:
    """Write a film, whole or not at all: H.264 that every browser plays (.mp4), or a .gif.

    Frames smaller than 256×256 are enlarged by the whole number that takes their larger side
    to 256 or beyond, each pixel a square, so that 32×32 renders can be watched. Odd sizes,
    which H.264 has no place for, repeat their last row or column.
    """
    suffix = path.suffix.lower()
    if suffix not in {".mp4", ".gif"}:
        raise InputError(f"{path}: films are written as .mp4 or .gif; change the ending")
    assert len(frames) > 0, "a film has at least one frame"
    assert fps > 0, f"frames per second must be positive, not {fps}"
    factor = max(1, math.ceil(WATCHABLE / max(frames.shape[1:3])))
    write = _write_mp4 if suffix == ".mp4" else _write_gif
    with replacing(path) as temporary:
        # The encoder is another program, which cannot say clearly why it could not write.
        temporary.touch()
        write(temporary, (_enlarged(frame, factor) for frame in frames), fps)


def _enlarged(
    frame: Float[Tensor, "height width 3"] | UInt8[Tensor, "height width 3"], factor: int
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = (to_bytes(frame) if frame.is_floating_point() else frame.cpu()).numpy()
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width, _ = image.shape
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _write_mp4(
    path: Path, frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]], fps: int
) -> None:
    first = next(frames)
    height, width, _ = first.shape
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=8,
        macro_block_size=2,
        ffmpeg_log_level="error",
        # The index comes first, so that a browser starts before it has the whole file.
        output_params=["-movflags", "+faststart"],
    )
    try:
        writer.send(None)
        writer.send(np.ascontiguousarray(first))
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()


def _write_gif(
    path: Path, frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]], fps: int
) -> None:
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=round(1000 / fps),
        loop=0,
    )

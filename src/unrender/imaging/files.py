"""Reading and writing of images and videos.

PNG files store straight alpha: colors are not multiplied by alpha. Everything else in this
library uses premultiplied alpha: colors are multiplied by alpha.
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
"""Larger images are rejected before they are decoded."""

MIN_VIDEO_SIZE = 256
"""Videos whose larger side has fewer pixels are enlarged."""

# Only formats that Pillow decodes itself; for some others it starts external programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

# Exceptions that Pillow's decoders are known to raise for damaged files.
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
    """Read an image as RGB or straight RGBA in [0, 1].

    Grayscale and palette images become RGB, and images with any kind of transparency RGBA.
    `upright` applies the EXIF orientation of photos. InputError if the file is missing, is not
    an image, is truncated, or has more than `max_pixels`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such image; check the path")
    return decode_image(path, str(path), max_pixels, upright)


def decode_image(
    source: Path | BytesIO, label: str, max_pixels: int = MAX_PIXELS, upright: bool = False
) -> Float[Tensor, "height width channels"]:
    """Like `read_image`, also for images inside other files; `label` names it in messages."""
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
                "may have; downscale it"
            )
        try:
            values = _decode(ImageOps.exif_transpose(image) if upright else image)
        except DECODING_ERRORS as error:
            raise InputError(
                f"{label}: the image is damaged ({one_line(error)}); copy it again"
            ) from error
    return torch.from_numpy(values)


def image_header(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """(width, height, channels) of `read_image`'s result, without decoding the pixels."""
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
            "may have; downscale it"
        )
    return width, height, channels


def read_uint16(path: Path) -> Int[Tensor, "height width"]:
    """Read 16-bit grayscale, such as depth maps. InputError if the image is of another kind."""
    _, _, channels = image_header(path)
    try:
        with _open(path) as image:
            if channels != 3 or not image.mode.startswith("I"):
                raise InputError(
                    f"{path}: has pixels of mode {image.mode}; give 16-bit grayscale"
                )
            return torch.from_numpy(np.asarray(image, dtype=np.int32)).long()
    except DECODING_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: the image is damaged ({one_line(error)}); copy it again"
        ) from error


def _open(source: Path | BytesIO) -> Image.Image:
    """Read only the header, without Pillow's size limit: callers check the size themselves."""
    with _pillow_limit:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(source, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    if image.mode.startswith("I"):  # 16-bit grayscale
        gray = np.asarray(image, dtype=np.float32)[..., None] / np.float32(65535)
        return np.repeat(gray.clip(0, 1), 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    converted = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(converted, dtype=np.float32) / np.float32(255)


def read_rgba(path: Path, max_pixels: int = MAX_PIXELS) -> Float[Tensor, "height width 4"]:
    """Read an image as premultiplied RGBA, with EXIF orientation; opaque if it has no alpha."""
    image = read_image(path, max_pixels, upright=True)
    if image.shape[-1] == 3:
        return torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
    return premultiply(image)


def to_bytes(image: Float[Tensor, "*batch channels"]) -> UInt8[Tensor, "*batch channels"]:
    """Convert [0, 1] to 0…255, with rounding and clamping."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def write_image(path: Path, image: Float[Tensor, "height width channels"]) -> None:
    """Write RGB or straight RGBA in [0, 1] as an 8-bit PNG, atomically."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: images are written as .png; change the file extension")
    assert image.shape[-1] in {3, 4}, f"images have 3 or 4 channels, not {image.shape[-1]}"
    with replacing(path) as temporary:
        Image.fromarray(to_bytes(image).numpy()).save(temporary, format="PNG")


def write_video(
    path: Path,
    frames: Float[Tensor, "frames height width 3"] | UInt8[Tensor, "frames height width 3"],
    fps: int,
) -> None:
    """Write a video atomically: H.264 that all browsers play (.mp4), or a .gif.

    Frames smaller than 256×256 are enlarged by the smallest integer factor that makes their
    larger side at least 256, without interpolation. Odd sizes, which H.264 does not support,
    are padded by repeating the last row or column.
    """
    suffix = path.suffix.lower()
    if suffix not in {".mp4", ".gif"}:
        raise InputError(
            f"{path}: videos are written as .mp4 or .gif; change the file extension"
        )
    assert len(frames) > 0, "a video needs at least one frame"
    assert fps > 0, f"frames per second must be positive, not {fps}"
    factor = max(1, math.ceil(MIN_VIDEO_SIZE / max(frames.shape[1:3])))
    write = _write_mp4 if suffix == ".mp4" else _write_gif
    with replacing(path) as temporary:
        # The encoder is an external program with unclear errors for files it cannot write.
        temporary.touch()
        write(temporary, (_enlarge(frame, factor) for frame in frames), fps)


def _enlarge(
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
        # The index is written first, so that browsers can start before the download ends.
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

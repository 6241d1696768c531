"""Writing of videos: H.264 in .mp4, and .gif."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from unrender.errors import InputError
from unrender.files import replacing
from unrender.imaging.files import to_bytes

MIN_VIDEO_SIZE = 256
"""Videos whose larger side has fewer pixels are enlarged."""


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

"""Writing of videos: H.264 in .mp4, .gif and .webp."""

import errno
import itertools
import math
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from unrender.errors import InputError
from unrender.files import replacing
from unrender.imaging.ffmpeg import (
    h264_encoder,
    location,
    program,
    reading,
    run,
    running,
)
from unrender.imaging.files import QUALITY, to_bytes

MIN_VIDEO_SIZE = 256
"""Videos whose larger side has fewer pixels are enlarged."""
CRF = 10
"""Constant rate factor of x264: near what eyes can tell from lossless."""


def write_video(
    path: Path,
    frames: Float[Tensor, "frames height width 3"] | UInt8[Tensor, "frames height width 3"],
    fps: int,
    crf: int | None = None,
) -> None:
    """Write a video atomically: H.264 that all browsers play (.mp4), a .gif or a .webp.

    An .mp4 is read again before it takes its name. InputError if the disk is full, for example;
    a file that was there before then stays.

    Frames smaller than 256×256 are enlarged by the smallest integer factor that makes their
    larger side at least 256, without interpolation. Odd sizes, which H.264 does not support,
    are padded by repeating the last row or column. `crf` is x264's constant rate factor, 0 to
    51, of an .mp4 whose frames are not enlarged; InputError without x264.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(
            f"{path}: videos are written as .mp4, .gif or .webp; change the file extension"
        )
    assert len(frames) > 0, "a video needs at least one frame"
    assert fps > 0, f"frames per second must be positive, not {fps}"
    factor = max(1, math.ceil(MIN_VIDEO_SIZE / max(frames.shape[1:3])))
    write = _WRITERS[suffix]
    if crf is not None:
        assert suffix == ".mp4", "the rate factor is one of H.264"
        if h264_encoder() != "libx264":
            raise InputError(
                f"{program()}: has no x264, which compression by a rate factor needs: set "
                "IMAGEIO_FFMPEG_EXE to an ffmpeg that has it"
            )
        factor, write = 1, partial(_write_mp4, crf=crf)
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
    path: Path,
    frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]],
    fps: int,
    crf: int = CRF,
) -> None:
    """Write the file and read it again. OSError if ffmpeg fails, or frames are missing."""
    first = next(frames)
    height, width, _ = first.shape
    encoder = h264_encoder()
    quality = ("-crf", str(crf)) if encoder == "libx264" else ("-b:v", "8M")
    arguments = [
        *("-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{width}x{height}", "-r", str(fps), "-i", "-", "-an"),
        *("-c:v", encoder, *quality, "-pix_fmt", "yuv420p"),
        # The index is written first, so that browsers can start before the download ends.
        *("-movflags", "+faststart", "-f", "mp4", location(path)),
    ]
    count = 0
    with running(arguments, stdin=subprocess.PIPE) as (process, messages):
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # ffmpeg has ended, and its messages say why.
            for frame in itertools.chain([first], frames):
                count += 1
                process.stdin.write(np.ascontiguousarray(frame).tobytes())
            process.stdin.close()
        code, lines = process.wait(), messages.lines()
    if code != 0:
        raise OSError(_reason(code, lines))
    # A full disk may end a file early without an error.
    check = ["-v", "error", *reading(path), "-map", "0:v:0", "-f", "framecrc", "-"]
    code, lines, listing = run(check)
    written = sum(not line.startswith(b"#") for line in listing.splitlines())
    if code != 0 or lines or written != count:
        raise OSError(
            f"{written} of {count} frames can be read again"
            + (f": {lines[0]:.60}" if lines else "")
        )


def _reason(code: int, lines: list[str]) -> str:
    """Why ffmpeg failed: what the system said, if it did."""
    if code == -getattr(signal, "SIGXFSZ", 0):
        return os.strerror(errno.EFBIG)
    numbers = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EACCES)
    for text in map(os.strerror, numbers):
        if any(text in line for line in lines):
            return text
    return f"{lines[0]:.80}" if lines else f"ffmpeg ended with code {code}"


def _write_gif(
    path: Path, frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]], fps: int
) -> None:
    _animated(path, frames, fps, "GIF")


def _write_webp(
    path: Path, frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]], fps: int
) -> None:
    _animated(path, frames, fps, "WEBP", quality=QUALITY)


def _animated(
    path: Path,
    frames: Iterator[np.ndarray[Any, np.dtype[np.uint8]]],
    fps: int,
    kind: str,
    **options: int,
) -> None:
    """Write an image that moves, over and over."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(
        path,
        format=kind,
        save_all=True,
        append_images=rest,
        duration=round(1000 / fps),
        loop=0,
        **options,
    )


_WRITERS = {".mp4": _write_mp4, ".gif": _write_gif, ".webp": _write_webp}

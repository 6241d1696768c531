"""The program ffmpeg, which reads and writes videos in a process of its own.

It comes with imageio-ffmpeg; the environment variable IMAGEIO_FFMPEG_EXE names another one.
"""

import functools
import re
import subprocess
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from unrender.errors import InputError
from unrender.imaging.files import MAX_PIXELS

ENCODERS = ("libx264", "libopenh264")
"""Encoders of H.264: x264, and one that is there in builds of ffmpeg without GPL parts."""
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,gif,mxf,ivf,h264,hevc,"
    "m4v,mpegvideo"
)
"""Containers that are read. None of them opens further files or addresses, as playlists do."""
LINES, LINE_BYTES = 200, 1000
"""Messages that are kept of the beginning and of the end, and their length."""
ADDRESS = re.compile(r"^\[[^]]* @ 0x[0-9a-f]+\] *")


def program() -> str:
    """The path of ffmpeg. InputError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except (RuntimeError, OSError) as error:
        raise InputError(
            "ffmpeg, which reads and writes videos, is missing: pip install imageio-ffmpeg, or "
            "set IMAGEIO_FFMPEG_EXE to an ffmpeg"
        ) from error


def location(path: Path) -> str:
    """A file's name for ffmpeg, which would take what stands before a colon as a protocol."""
    return f"file:{path}"


def reading(path: Path) -> list[str]:
    """The arguments that open a video and nothing else than this file."""
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS),
        *("-max_pixels", str(MAX_PIXELS)),
        *("-i", location(path)),
    ]


class Messages:
    """The first and the last lines that ffmpeg wrote to stderr."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LINES)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        for raw in iter(lambda: stream.readline(LINE_BYTES), b""):
            # Without the address that stands before a line.
            line = ADDRESS.sub("", raw.decode("utf-8", "replace")).strip()
            if line:
                (self._first if len(self._first) < LINES else self._last).append(line)

    def lines(self) -> list[str]:
        """The lines, once ffmpeg has ended."""
        self._thread.join()
        return [*self._first, *self._last]


@contextmanager
def running(
    arguments: Sequence[str], stdin: int = subprocess.DEVNULL
) -> Generator[tuple[subprocess.Popen[bytes], Messages]]:
    """ffmpeg with a pipe from its stdout, and its messages.

    It is ended if the block fails, or leaves before everything has been read.
    """
    command = [program(), "-hide_banner", "-nostats", *arguments]
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        messages = Messages(process.stderr)
        try:
            yield process, messages
        except BaseException:
            process.kill()
            raise
        finally:
            if process.stdin is not None:
                with suppress(OSError):  # It has ended, with bytes yet to be written.
                    process.stdin.close()
            messages.lines()


def run(arguments: Sequence[str]) -> tuple[int, list[str], bytes]:
    """Run ffmpeg to its end: its exit code, lines of messages, and what it wrote to stdout."""
    with running(arguments) as (process, messages):
        assert process.stdout is not None
        output = process.stdout.read()
        return process.wait(), messages.lines(), output


@functools.cache
def has(kind: str, name: str) -> bool:
    """Whether this build has an encoder ("encoders") or filter ("filters") of that name."""
    _, _, output = run([f"-{kind}"])
    return any(
        name in line.split()[:3] for line in output.decode("utf-8", "replace").splitlines()
    )


def h264_encoder() -> str:
    """The first of ENCODERS that ffmpeg has. InputError if it has none."""
    for name in ENCODERS:
        if has("encoders", name):
            return name
    raise InputError(
        f"{program()}: has none of the encoders {', '.join(ENCODERS)}, which .mp4 needs: set "
        "IMAGEIO_FFMPEG_EXE to an ffmpeg that has one, or write a .gif"
    )

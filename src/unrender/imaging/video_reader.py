"""Reading of videos, whatever their container, bit depth, dynamic range and frame rate."""

import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from unrender.errors import InputError
from unrender.files import check_file
from unrender.imaging.ffmpeg import has, reading, run, running
from unrender.notes import note

Frame = np.ndarray[Any, np.dtype[np.uint8]]

HDR = ("smpte2084", "arib-std-b67")
"""Transfer functions PQ and HLG of BT.2100, as ffmpeg calls them."""
TONE_MAPPING = (
    "setparams=color_primaries=bt2020:colorspace=bt2020nc,"
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=5,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)
"""BT.2100 to BT.709. Reference white of 203 cd/m² (BT.2408) becomes white."""
MICROSECONDS = 1_000_000
"""Units of a second in which times of frames are read."""
MISSING_SECONDS, MISSING_SHARE = 1.0, 0.1
"""A video that ends this long, and this fraction, before its announced end is cut off."""


@dataclass
class Video:
    """A video file, whose frames can be read several times. InputError if it is not one."""

    path: Path
    seconds: float | None = field(init=False)
    """Length as the container announces it, or None."""
    high_range: bool = field(init=False)
    """Whether its frames are tone-mapped from high dynamic range."""
    problem: str | None = field(init=False, default=None)
    """What was wrong with it, once all frames have been read; None for a sound video."""

    def __post_init__(self) -> None:
        check_file(self.path)
        _, lines, _ = run(reading(self.path))
        streams = [
            line for line in lines if re.search(r"Stream #.*: Video: ", line)
            and "attached pic" not in line
        ]  # fmt: skip
        if not streams:
            reason = next(
                (line for line in lines if not line.startswith("Input #")), "no video"
            )
            if "moov atom not found" in reason:
                reason = "its end is missing, where the list of frames should be"
            raise self._unreadable(reason)
        length = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", " ".join(lines))
        self.seconds = None
        if length is not None:
            hours, minutes, seconds = map(float, length.groups())
            self.seconds = 3600 * hours + 60 * minutes + seconds
        self.high_range = any(name in streams[0] for name in HDR)
        if self.high_range:
            done = "tone-mapped to" if has("filters", "zscale") else "read as if it were"
            note(f"{self.path}: has high dynamic range: it is {done} standard dynamic range")

    def frames(self, size: int) -> Iterator[Frame]:
        """The frames as uint8 [height, width, 3], each once, upright and with square pixels.

        They are downscaled to a longer side of at most `size` pixels. InputError if there are
        none.
        """
        filters = [
            "scale='iw*sar':ih,setsar=1",
            f"scale='min({size},iw)':'min({size},ih)':force_original_aspect_ratio=decrease",
        ]
        if self.high_range and has("filters", "zscale"):
            filters.append(TONE_MAPPING)
        arguments = [
            *("-v", "error", *reading(self.path), "-map", "0:V:0", "-vf", ",".join(filters)),
            # Without it frames are repeated to make the rate constant.
            *("-fps_mode", "passthrough", "-progress", "pipe:2", "-pix_fmt", "rgb24"),
            *("-f", "image2pipe", "-c:v", "ppm", "-"),
        ]
        count = 0
        with running(arguments) as (process, messages):
            for frame in _frames(process):
                yield frame
                count += 1
            code, lines = process.wait(), messages.lines()
        progress = [line for line in lines if re.match(r"^[a-z0-9_]+=\s*\S*$", line)]
        errors = [line for line in lines if line not in progress]
        self.problem = self._problem(count, code, errors, progress)
        if not count:
            raise self._unreadable((errors or ["it has no frames"])[0])

    def times(self) -> list[float]:
        """The time of each frame that `frames` yields, in seconds since the first one.

        Empty if the file does not say when its frames are shown, or not of all of them.
        """
        arguments = [
            *("-v", "error", *reading(self.path), "-map", "0:V:0", "-vf", "scale=16:16"),
            *("-fps_mode", "passthrough", "-enc_time_base", f"1/{MICROSECONDS}"),
            *("-f", "framecrc", "-"),
        ]
        # A line for each frame: stream, decoding time, presentation time and others.
        _, _, output = run(arguments)
        lines = output.decode("ascii", "replace").splitlines()
        rows = [line.split(",") for line in lines if not line.startswith("#")]
        shown = [row[2].strip() if len(row) > 2 else "" for row in rows]
        if not shown or not all(re.fullmatch(r"-?\d{1,18}", text) for text in shown):
            return []
        found = [int(text) for text in shown]
        if any(b <= a for a, b in pairwise(found)):
            return []
        return [(time - found[0]) / MICROSECONDS for time in found]

    def _unreadable(self, reason: str) -> InputError:
        return InputError(
            f"{self.path}: cannot be decoded as a video ({reason:.80}): copy it again, or "
            "convert it to .mp4"
        )

    def _problem(
        self, count: int, code: int, errors: list[str], progress: list[str]
    ) -> str | None:
        times = [line.partition("=")[2] for line in progress if line.startswith("out_time_us=")]
        end = int(times[-1]) / 1e6 if times and times[-1].lstrip("-").isdigit() else None
        missing = 0.0 if self.seconds is None or end is None else self.seconds - end
        cut = self.seconds is not None and missing > max(
            MISSING_SECONDS, MISSING_SHARE * self.seconds
        )
        if code == 0 and not errors and not cut and not _ends_early(self.path):
            return None
        until = f" up to {end:.1f} of {self.seconds:.1f} s" if cut else ""
        reason = f" ({errors[0]:.80})" if errors else ""
        return (
            f"{self.path}: the video is damaged or cut off{reason}: {count} frames could be "
            f"read{until}"
        )


def _ends_early(path: Path) -> bool:
    """Whether an AVI file is shorter than it says, of which ffmpeg says nothing."""
    with path.open("rb") as file:
        head = file.read(8)
        (size,) = struct.unpack("<I", head[4:8].ljust(4, b"\0"))
        return head[:4] == b"RIFF" and size + 8 > file.seek(0, 2)


def _frames(process: subprocess.Popen[bytes]) -> Iterator[Frame]:
    """The PPM images of a pipe: P6, width and height, 255, then the pixels."""
    stream = process.stdout
    assert stream is not None
    while stream.readline() == b"P6\n":
        width, height = (int(word) for word in stream.readline().split())
        stream.readline()
        raw = stream.read(3 * width * height)
        if len(raw) < 3 * width * height:
            return
        yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)

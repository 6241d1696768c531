"""Videos written to a disk that is nearly full: an unreadable one must not pass for written.

    python benchmarks/robustness_disk.py

A good video stands on a small disk (a tmpfs where this process may mount one, otherwise a limit
of the size of files stands for it). `unrender render` then writes over it while the disk has 13
amounts of free space, from none to plenty. Each time it must end with an exit code other than 0
and leave the old video as it was, or with 0 and a video that can be decoded whole.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import record
import torch
from record import Figures, figure

from unrender.errors import InputError
from unrender.imaging.video import write_video
from unrender.imaging.video_reader import Video

FREE = (0, 4, 16, 32, 64, 96, 128, 160, 168, 192, 256, 512, 4096)
"""KiB of free space."""
DISK = 20 * 2**20
FRAMES = 60
SECONDS = 120
CUBE = """OFF
8 6 0
-1 -1 -1
1 -1 -1
1 1 -1
-1 1 -1
-1 -1 1
1 -1 1
1 1 1
-1 1 1
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


@contextmanager
def small_disk(folder: Path) -> Generator[bool]:
    """Mount a tmpfs on the folder; False if this process may not."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """A file beside the video that leaves `free` bytes."""
    space = os.statvfs(folder)
    file = folder / "filler"
    with file.open("wb") as stream:
        stream.write(b"\0" * max(0, space.f_bavail * space.f_frsize - free))
    return file


def write(shape: Path, video: Path, limit: int | None) -> subprocess.CompletedProcess[str]:
    """Render a turntable of a shape, with a limit of the size of files in bytes."""
    command = [
        *(sys.executable, "-m", "unrender", "render", str(shape), "--out", str(video)),
        *("--frames", str(FRAMES), "--size", "192", "--supersample", "1", "--quiet"),
    ]
    if limit is not None:
        command = ["sh", "-c", f'ulimit -f {limit // 512}; exec "$@"', "limited", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def frames_of(video: Path) -> int:
    """Frames that can be decoded; 0 for a file that is damaged."""
    try:
        read = Video(video)
        count = sum(1 for _ in read.frames(64))
    except InputError:
        return 0
    return 0 if read.problem else count


def measure() -> Figures:
    """Write at every amount of free space, and count the ways in which that ended."""
    unreadable = lost = leftovers = talkative = refused = 0
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as mount:
        shape, old = Path(name) / "cube.off", Path(name) / "old.mp4"
        shape.write_text(CUBE)
        write_video(old, torch.rand(5, 64, 64, 3), 30)
        with small_disk(Path(mount)) as mounted:
            folder = Path(mount)
            video = folder / "video.mp4"
            for free in FREE:
                shutil.copyfile(old, video)
                filler = fill(folder, free * 1024) if mounted else None
                done = write(shape, video, None if mounted else free * 1024)
                if filler is not None:
                    filler.unlink()
                if done.returncode == 0:
                    unreadable += frames_of(video) != FRAMES
                else:
                    refused += 1
                    lost += video.read_bytes() != old.read_bytes()
                    # Kernels that are compiled for the first time are told before.
                    last = done.stderr.rpartition("unrender: ")[1:]
                    talkative += (
                        not last[0] or last[1].count("\n") != 1 or "Traceback" in done.stderr
                    )
                left = [path for path in folder.iterdir() if path != video]
                leftovers += bool(left)
                print(f"{free:5} KiB free: exit {done.returncode} {done.stderr.strip()}")
                for file in left:
                    file.unlink()
    return {
        "fill_levels": figure(float(len(FREE)), "", at_least=13.0),
        "fill_levels_refused": figure(float(refused), "", at_least=1.0),
        "fill_levels_written": figure(float(len(FREE) - refused), "", at_least=1.0),
        "films_unreadable_exit_0": figure(float(unreadable), "", at_most=0.0),
        "old_films_lost": figure(float(lost), "", at_most=0.0),
        "temporaries_left": figure(float(leftovers), "", at_most=0.0),
        "not_one_line": figure(float(talkative), "", at_most=0.0),
    }


def main() -> None:
    """Print what happened at each amount of free space."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    record.show(measure())


if __name__ == "__main__":
    main()

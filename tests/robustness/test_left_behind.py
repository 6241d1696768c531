"""What processes leave that were killed, and what keeps two from writing into one folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unrender.errors import InputError
from unrender.files import check_target, replacing, write_atomically
from unrender.files.locks import LOCK, locked
from unrender.files.temporaries import DAY, NAMED, host_mark, remove_abandoned

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
WRITING = """
import sys, time
from pathlib import Path
from unrender.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
HOLDING = """
import sys, time
from pathlib import Path
from unrender.files.locks import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def begun(script: str, path: Path) -> "subprocess.Popen[bytes]":
    """A process that is in the midst of writing."""
    words = [sys.executable, "-c", script, str(path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def again(folder: Path) -> None:
    """Remove what was abandoned, as the first write of a new process does."""
    from unrender.files import temporaries  # noqa: PLC0415

    temporaries._swept.clear()
    remove_abandoned(folder)


@posix
def test_the_next_start_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    target.write_text("good")
    process = begun(WRITING, target)
    again(tmp_path)
    assert len(hidden(tmp_path)) == 1, "the temporary of a live process stays"
    process.kill()
    process.wait()
    assert target.read_text() == "good"
    from unrender.files import temporaries  # noqa: PLC0415

    temporaries._swept.clear()
    check_target(tmp_path / "another.mp4")
    assert hidden(tmp_path) == []


@posix
def test_temporaries_that_cannot_be_looked_up_stay_for_a_day(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old = time.time() - DAY - 60
    names = {
        f".a.{dead.pid}-{host_mark()}01234567.png": False,  # Its process ended here.
        f".a.{os.getppid()}-{host_mark()}01234567.png": True,  # It is running.
        f".a.{dead.pid}-0000000001234567.png": True,  # It runs elsewhere, for all we know.
        f".b.{dead.pid}-0000000001234567": False,  # The same, and old.
        f".a.{dead.pid}-01234567.mp4": True,  # Of a version that named no machine.
        f".b.{dead.pid}-01234567.mp4": False,
        ".mine.png": True,
        f"a.{dead.pid}-{host_mark()}01234567.png": True,  # Not hidden, so not ours.
    }
    for name in names:
        (tmp_path / name).write_text("x")
        if name.startswith(".b"):
            os.utime(tmp_path / name, (old, old))
    again(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {name for name, stays in names.items() if stays}


def test_a_name_of_any_letters_is_written(tmp_path: Path) -> None:
    for name in ("a:b.png", "长" * 80 + ".png", "x" * 250, "name.with.dots-and.ünicode"):
        with replacing(tmp_path / name) as temporary:
            assert NAMED.fullmatch(temporary.name)
            assert temporary.is_absolute()
            assert temporary.name.isascii()
            assert ":" not in temporary.name
            temporary.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"
    with replacing(tmp_path / "clip.mp4") as temporary:
        assert temporary.suffix == ".mp4", "writers go by the ending"
        temporary.write_text("whole")


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x\0.png"])
def test_a_name_that_cannot_be_is_one_short_line(tmp_path: Path, name: str) -> None:
    for write in (check_target, lambda path: write_atomically(path, b"")):
        with pytest.raises(InputError) as caught:
            write(tmp_path / name)
        assert len(str(caught.value)) < 300
        assert "\0" not in str(caught.value)


@posix
def test_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a plain file"):
        check_target(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a plain file"):
        write_atomically(tmp_path / "pipe.png", b"x")


@posix
def test_a_second_writer_is_told_who_writes_until_that_one_is_killed(tmp_path: Path) -> None:
    process = begun(HOLDING, tmp_path)
    about = json.loads((tmp_path / LOCK).read_text())
    assert about["process"] == process.pid
    with (
        pytest.raises(InputError, match=rf"process {process.pid} on .* since "),
        locked(tmp_path),
    ):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path):
        with pytest.raises(InputError, match=f"process {os.getpid()} "), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    assert hidden(tmp_path) == []


@posix
def test_files_are_on_the_disk_before_they_take_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(number: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{number}") else "file"
        events.append(kind)
        sync(number)

    def moved(old: Path, new: Path) -> None:
        events.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", moved)
    write_atomically(tmp_path / "a", b"x")
    with replacing(tmp_path / "folder", folder=True) as folder:
        (folder / "inside").write_text("x")
    wanted = ["file", "replace", "folder", "file", "folder", "replace", "folder"]
    if Path("/proc/self/fd").exists():
        assert events == wanted


@posix
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="file size limits of POSIX")
def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full."""
    (tmp_path / "a").write_text("old")
    script = f"""
import resource, signal
from pathlib import Path
from unrender.errors import InputError
from unrender.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path({str(tmp_path / "a")!r}), bytes(5000))
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout
    assert (tmp_path / "a").read_text() == "old"
    assert hidden(tmp_path) == []

"""Commands start on every machine: without caches, a home, Unicode, streams or a folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from inputs import ROOT, SAMPLES

from unrender.app import cli
from unrender.app.streams import ascii_likeness

SCENE = str(SAMPLES / "blender")
FULL = Path("/dev/full")
needs_a_full_device = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
needs_a_posix_shell = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def unrender(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; both streams are text unless `settings` say otherwise."""
    command = [sys.executable, "-m", "unrender", *arguments]
    chosen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.run(command, text=True, check=False, timeout=120, **chosen)  # type: ignore[call-overload]


def environment(**changes: str | None) -> dict[str, str]:
    """That of this process, with changes; None takes a variable away."""
    both: Mapping[str, str | None] = {**os.environ, **changes}
    return {name: value for name, value in both.items() if value is not None}


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("changes", ASCII, ids=["PYTHONIOENCODING", "LC_ALL"])
def test_help_in_ascii(changes: dict[str, str]) -> None:
    here = environment(**{"PYTHONIOENCODING": None, "COLUMNS": "80", **changes})
    result = unrender("fit", "--help", env=here)
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    lines = result.stdout.splitlines()
    assert "?" not in "".join(line for line in lines if line[:1] in ("+", "|"))
    assert sum(line.startswith("| ") and line.endswith(" |") for line in lines) > 10


def test_a_command_and_a_refusal_in_ascii(tmp_path: Path) -> None:
    here = environment(PYTHONIOENCODING="ascii")
    shutil.copytree(SCENE, tmp_path / "größe→日")
    found = unrender("inspect", "größe→日", env=here, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "139 deg" in found.stdout
    assert "Reading gro?e->?" in found.stderr
    refused = unrender("é", env=here)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("unrender: 'e' is not a command")


def test_likenesses() -> None:
    assert (
        ascii_likeness("╭─ a → b … 3×4² ½ é 12° “x” 日\ud800")
        == '+- a -> b ... 3x42 12 e 12 deg "x" ??'
    )


@needs_a_posix_shell
def test_names_that_are_no_text_are_printed(tmp_path: Path) -> None:
    """File names may be any bytes, which Python keeps as lone surrogates."""
    name = os.fsencode(tmp_path) + b"/\xff"
    command = [sys.executable, "-m", "unrender", "inspect", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "is neither a file, a folder nor" in result.stderr.splitlines()[-1]


def test_a_reader_that_has_enough_of_a_help() -> None:
    read, write = os.pipe()
    os.close(read)
    result = unrender("fit", "--help", stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (141, "")


def test_a_reader_that_has_enough_of_an_outcome() -> None:
    read, write = os.pipe()
    os.close(read)
    result = unrender("inspect", SCENE, stdout=write)
    os.close(write)
    assert result.returncode == 141
    assert "Error" not in result.stderr


@needs_a_full_device
@pytest.mark.parametrize("arguments", [("--version",), ("fit", "--help"), ("inspect", SCENE)])
def test_a_full_disk_behind_standard_output(arguments: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        result = unrender(*arguments, stdout=full)
    assert result.returncode == 1
    assert result.stderr.count("unrender: ") == 1
    assert "standard output cannot be written (No space left on device)" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_the_system_refuses_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_arguments: list[str]) -> None:
        raise OSError(28, "No space left on device", "clip.mp4")

    monkeypatch.setattr(cli, "run", refused)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    line = "unrender: [Errno 28] No space left on device: 'clip.mp4'\n"
    assert capsys.readouterr().err == line


@needs_a_full_device
def test_a_full_disk_behind_stderr_does_not_hide_a_refusal() -> None:
    with FULL.open("w") as full:
        assert unrender("redner", stderr=full).returncode == 2


FIRST_FILE = """
import os, sys
from unrender import __main__
from unrender.app import cli
cli.main = lambda: os._exit(open(sys.argv[1], "w").fileno())
__main__.main()
"""
"""Ends with the number of the first file that a command opens."""


@needs_a_posix_shell
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_free_of_files(tmp_path: Path, closed: str) -> None:
    """A file that took a closed stream's number would receive what libraries print."""
    shell = f'"$0" "$@" {closed}'
    command = ["sh", "-c", shell, sys.executable, "-c", FIRST_FILE, str(tmp_path / "file")]
    assert subprocess.run(command, check=False, timeout=60).returncode > 2


@needs_a_posix_shell
@pytest.mark.parametrize(("arguments", "code"), [("--version", 0), ("redner", 2)])
def test_closed_streams(arguments: str, code: int) -> None:
    shell = f'"{sys.executable}" -m unrender {arguments} >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell], check=False, timeout=60).returncode == code


@needs_a_posix_shell
def test_notes_do_not_go_to_standard_output_when_stderr_is_closed() -> None:
    shell = f'"{sys.executable}" -m unrender redner 2>&-'
    result = subprocess.run(["sh", "-c", shell], capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stdout) == (2, b"")


def test_options_of_the_interpreter() -> None:
    """No warning on the way, and nothing that rests on assertions or docstrings."""
    changed = environment(PYTHONWARNINGS="error", PYTHONOPTIMIZE="2")
    result = unrender("inspect", SCENE, env=changed)
    assert result.returncode == 0, result.stderr
    assert "held-out views" in result.stdout


def test_all_names_are_imported_without_a_warning() -> None:
    names = "import unrender; [getattr(unrender, name) for name in unrender.__all__]"
    command = [sys.executable, "-W", "error", "-c", names]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@contextmanager
def deleted_folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    path.mkdir()
    os.chdir(path)
    try:
        path.rmdir()
        yield
    finally:
        os.chdir(before)


@needs_a_posix_shell
@pytest.mark.parametrize("command", ["inspect", "fit box --data"])
def test_a_deleted_current_folder(tmp_path: Path, command: str) -> None:
    here = environment(PYTHONPATH=str(ROOT / "src"))
    with deleted_folder(tmp_path / "gone"):
        result = unrender(*command.split(), SCENE, env=here)
    assert result.returncode == 2
    assert result.stderr.startswith("unrender: the current folder was deleted")
    assert len(result.stderr.splitlines()) == 1


BARE = """
import sys
import torch
from unrender.kernels.expand import expand
from unrender.kernels.nearest import k_nearest
assert "unrender_alone" in sys.modules["unrender"].__file__, sys.modules["unrender"].__file__
expand(torch.ones(2, 3), torch.tensor([0, 1, 2]))
k_nearest(torch.rand(1, 4, 3), torch.rand(1, 4, 3), 1)
from unrender.training.record import provenance
assert provenance()["commit"] is None
from unrender.report.plots import draw_curves
draw_curves({"a": ([0, 1], [1, 2])}, "x", "y")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation in which no folder takes a cache, not even from an administrator."""
    home = tmp_path_factory.mktemp("unrender_alone")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "unrender", home / "unrender", ignore=ignored)
    for folder, _, _ in os.walk(home):
        Path(folder, "__pycache__").touch()
    return home


@pytest.mark.robustness
def test_without_caches_home_and_git(alone: Path) -> None:
    """Kernels are compiled in memory, and one line says so."""
    nowhere = str(alone / "unrender" / "__init__.py" / "folder")
    here = environment(
        PYTHONPATH=str(alone),
        HOME=nowhere,
        XDG_CACHE_HOME=nowhere,
        XDG_CONFIG_HOME=None,
        NUMBA_CACHE_DIR=None,
        UNRENDER_CACHE=None,
        MPLCONFIGDIR=None,
        TMPDIR=None,
        PATH=nowhere,
    )
    command = [sys.executable, "-c", BARE]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=here, cwd=alone
    )
    assert result.returncode == 0, result.stderr
    kept, *compiled = result.stderr.splitlines()
    assert kept.startswith(
        "note: compiled kernels are not kept for later runs: no cache folder"
    )
    assert "NUMBA_CACHE_DIR" in kept
    assert all(line.endswith(" for this processor") for line in compiled)
    assert {line.split(".")[1] for line in compiled} == {"expand", "nearest"}

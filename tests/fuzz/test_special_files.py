"""A pipe, a folder, a link to nowhere or no file at all where a loader expects a file."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import harness, seeds
from fuzz.harness import run_range
from fuzz.targets import Target, make_targets

pytestmark = pytest.mark.fit


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _unreadable(path: Path) -> None:
    path.touch()
    path.chmod(0)


INSTEAD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to itself": _loop,
    "a file without permission": _unreadable,
    "nothing": lambda _: None,
}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return make_targets({"box": seeds.box_run(tmp_path_factory.mktemp("box"))})


@pytest.mark.parametrize("what", INSTEAD)
def test_every_loader_reads_or_refuses(
    what: str, targets: list[Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases: list[tuple[Target, seeds.Files]] = []
    for target in targets:
        for name in _one_of_each_kind(target):

            def read(folder: Path, target: Target = target, name: str = name) -> object:
                path = folder / name
                path.unlink()
                INSTEAD[what](path)
                try:
                    return target.read(folder)
                finally:
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)

            cases.append((Target(f"{target.name}: {name}", [], read), target.seeds[0]))
    monkeypatch.setattr(harness, "make_input", lambda _, number: cases[number])
    found = run_range(targets, range(len(cases)), tmp_path)
    assert not [f"{fault.target}: {fault.detail}" for fault in found.faults]
    assert found.inputs == len(cases) > 60


def _one_of_each_kind(target: Target) -> list[str]:
    """A file of each folder and ending."""
    known: dict[tuple[Path, str], str] = {}
    for name in sorted(target.seeds[0]):
        known.setdefault((Path(name).parent, Path(name).suffix), name)
    return list(known.values())

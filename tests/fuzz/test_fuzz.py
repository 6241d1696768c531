"""Damaged inputs end in a load of finite numbers or in one plain line, and the net that checks
this catches every kind of fault.
"""

import base64
import faulthandler
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from fuzz import harness, seeds
from fuzz.harness import make_input, prepare, run_range
from fuzz.mutations import mutate
from fuzz.targets import Target, make_targets

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras

pytestmark = pytest.mark.fit

SECONDS = 60


@pytest.fixture(scope="module")
def targets() -> list[Target]:
    return make_targets({})


def outcome(read: Callable[[Path], Any], folder: Path) -> harness.Outcome:
    planted = Target("planted", [{"a.txt": b"1 2 3"}], read)
    return run_range([planted], [7], folder)


def _message(text: str) -> Callable[[Path], Any]:
    def read(_: Path) -> Any:
        error = InputError("")
        error.args = (text,)
        raise error

    return read


def _raise(error: BaseException) -> Any:
    raise error


def _crash(_: Path) -> None:
    faulthandler.disable()  # Pytest's, which would tell of it.
    os.kill(os.getpid(), signal.SIGSEGV)


ZERO_FOCAL = Cameras(torch.eye(4)[None, :3], torch.diag(torch.tensor([0.0, 1, 1]))[None], 8, 8)
PLANTED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "an exception": ("exception", lambda _: _raise(KeyError("a"))),
    "NaN": ("accepted", lambda _: {"a": [torch.tensor([1.0, float("nan")])]}),
    "infinity": ("accepted", lambda _: (np.array([np.inf]),)),
    "a huge number": ("accepted", lambda _: [1e16]),
    "a focal length of 0": ("accepted", lambda _: ZERO_FOCAL),
    "nan in a text": ("accepted", lambda _: "from 0 to nan"),
    "a hang": ("hang", lambda _: time.sleep(30)),
    # From the system: what earlier tests have freed may be kept, and would take an array.
    "much memory": ("memory", lambda _: np.frombuffer(mmap(-1, 80 << 20), np.uint8).fill(1)),
    "a crash": ("crash", _crash),
    "a warning": ("warning", lambda _: warnings.warn("odd", UserWarning, stacklevel=1)),
    "print": ("printed", lambda _: sys.stdout.write("odd")),
    "a line of a library in C": ("printed", lambda _: os.write(2, b"odd")),
    "a long line": ("line", _message("a" * 301)),
    "two lines": ("line", _message("a\nb")),
    "an escape sequence": ("line", _message("a\x1b[31m")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "a hang":
        monkeypatch.setattr(harness, "MAX_SECONDS", 0.5)
    monkeypatch.setattr(harness, "MAX_BYTES", 50 << 20)
    kind, read = PLANTED[name]
    found = outcome(read, tmp_path)
    assert [fault.kind for fault in found.faults] == [kind]
    assert found.inputs == 1


def test_what_is_right_is_no_fault(tmp_path: Path) -> None:
    assert outcome(lambda _: torch.ones(3), tmp_path).loaded == 1
    refused = outcome(lambda path: _raise(InputError(f"{path}: correct it")), tmp_path)
    assert refused.refused == 1
    assert not refused.faults


def test_a_number_repeats_an_input(targets: list[Target]) -> None:
    """Whatever inputs were made before it."""
    first = [make_input(targets, number) for number in range(200)]
    again = make_targets({})
    for number in reversed(range(200)):
        one, other = first[number], make_input(again, number)
        assert one[0].name == other[0].name
        assert one[1] == other[1]


def test_mutations_change_their_input(targets: list[Target]) -> None:
    for target in targets:
        changed = [mutate(target.seeds[0], Random(k)) != target.seeds[0] for k in range(30)]
        assert sum(changed) > 20, target.name


def test_the_seeds_are_valid(targets: list[Target], tmp_path: Path) -> None:
    for target in targets:
        for k, seed in enumerate(target.seeds):
            folder = tmp_path / f"{target.name}_{k}"
            seeds.write(folder, seed)
            target.read(folder)


FOUND: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parent / "found.json").read_text()
)
"""Inputs that once went wrong, by target and kind: the files of a seed that were changed."""


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return make_targets({"box": seeds.box_run(tmp_path_factory.mktemp("box"))})


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(
    name: str, all_targets: list[Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target,) = (each for each in all_targets if each.name == name)
    inputs: list[dict[str, bytes]] = []
    for files in FOUND[name].values():
        changed = {path: base64.b64decode(text) for path, text in files.items()}
        seed = max(target.seeds, key=lambda each: len(each.keys() & changed.keys()))
        inputs.append({**seed, **changed})
    monkeypatch.setattr(harness, "make_input", lambda _, number: (target, inputs[number]))
    found = run_range([target], range(len(inputs)), tmp_path)
    kinds = list(FOUND[name])
    assert not [f"{kinds[fault.number]}: {fault.detail}" for fault in found.faults]
    assert found.inputs == len(inputs)


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_a_minute_of_mutated_inputs(tmp_path: Path) -> None:
    """New inputs each day, so that many runs see many; the numbers are in the message."""
    everything = prepare(tmp_path)
    start = 1_000_000 + int(time.time() // 86400) * 100_000
    numbers = range(start, start + 100_000)
    found = run_range(everything, numbers, tmp_path, time.monotonic() + SECONDS)
    told = [f"{fault.number} {fault.kind} {fault.place}" for fault in found.faults]
    assert not told, "\n".join(told[:20])
    assert found.inputs > 1000

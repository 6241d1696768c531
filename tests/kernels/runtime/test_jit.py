"""The first call of a kernel says that it compiles; later runs find the machine code."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from unrender.kernels.runtime.jit import machine_code_folder, num_threads, run_threads, shares

CALL = """
import torch
from unrender.kernels.expand import expand
expand(torch.ones(2, 3), torch.tensor([0, 1, 2]))
"""


def test_the_first_call_says_what_it_is_doing(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CALL]
    output = [
        subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stderr
        for _ in range(2)
    ]
    first = "Compiling kernels.expand.cpu for this processor (kept for later runs)\n"
    assert output == [first, ""]


def test_kernels_have_as_many_threads_as_torch() -> None:
    assert num_threads() == torch.get_num_threads()


def test_within_the_pool_torch_has_one_thread() -> None:
    """And so have kernels that are called there, whatever is set outside afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = threading.Barrier(3)
        run_threads(lambda _: together.wait(10), range(3), False)
        torch.set_num_threads(3)
        inside = run_threads(
            lambda _: (torch.get_num_threads(), num_threads()), range(3), False
        )
    finally:
        torch.set_num_threads(before)
    assert inside == [(1, 1)] * 3


def test_threads_keep_order_and_share_all() -> None:
    assert run_threads(lambda n: n * n, range(9)) == [n * n for n in range(9)]
    assert shares(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert shares(1, 4) == [(0, 1)]


def called(cache: Path) -> str:
    """What the first call in a new process says, without errors."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", CALL]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stderr


@pytest.mark.robustness
def test_damaged_machine_code_is_made_again(tmp_path: Path) -> None:
    """As a power failure may leave it: numba does not look at what it reads."""
    assert called(tmp_path).startswith("Compiling")
    files = [*tmp_path.rglob("*.nbi"), *tmp_path.rglob("*.nbc")]
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    assert called(tmp_path).startswith("Compiling")
    assert called(tmp_path) == ""


FULL = """
from unrender.kernels.runtime import jit
def full(self, sig, data):
    raise OSError(28, "No space left on device")
jit.FunctionCache.save_overload = full
import torch
from unrender.kernels.expand import expand
expand(torch.ones(2, 3), torch.tensor([0, 1, 2]))
expand(torch.ones(2, 3, dtype=torch.float32), torch.tensor([0, 1, 2]))
"""


def test_machine_code_that_finds_no_room_is_used_all_the_same(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FULL]
    said = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stderr
    assert "not kept for later runs: No space left on device" in said
    assert len(said.splitlines()) == 2


def test_a_user_without_a_home_gets_no_folder_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What numba takes for the home is then "~", as a name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert machine_code_folder() is not None
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert machine_code_folder() is None
    assert not list(tmp_path.iterdir())

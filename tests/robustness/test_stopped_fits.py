"""Fits that are stopped, that cannot print, or whose model explodes keep what they have."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.files.streams import Unfailing
from unrender.rendering.renderer import Rendering
from unrender.training import interruption
from unrender.training.fit import FitOptions, train
from unrender.training.interruption import Stopped, noted, stopped_by_exception
from unrender.training.method import Method, Progress
from unrender.training.run_folder import RunFolder

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.register_buffer("radius", torch.ones(()))


@dataclass(frozen=True)
class Walk(Method[Point, Tensor]):
    """Steps toward the data; at a step, a signal comes or a tensor explodes."""

    at: int = 0
    signal: int = 0
    explodes: str = ""

    def build(self, data: Tensor, generator: torch.Generator) -> Point:
        model = Point()
        if self.explodes == "start":
            model.radius.fill_(float("inf"))
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> Point:
        model = Point()
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: Point) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), 0.1)

    def losses(
        self, model: Point, data: Tensor, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        return {"error": (model.weight - data).square().sum()}

    def after_step(self, model: Point, optimizer: Any, progress: Progress) -> None:
        if progress.step + 1 != self.at:
            return
        if self.signal:
            os.kill(os.getpid(), self.signal)
        if self.explodes == "weight":
            model.weight.data[1] = float("nan")
        if self.explodes == "radius":
            model.radius.fill_(float("inf"))
        if self.explodes == "moment":
            optimizer.state[model.weight]["exp_avg"][0] = float("nan")

    def render(self, model: Point, cameras: Any) -> Rendering:
        raise NotImplementedError


def walked(path: Path, method: Walk, steps: int = 20, log_every: int = 1000) -> RunFolder:
    run = RunFolder.create(path, {})
    options = FitOptions(steps=steps, device="cpu", log_every=log_every, checkpoint_every=5)
    train(method, torch.ones(3), options, run, show=False)
    return run


@pytest.mark.parametrize("tensor", ["weight", "radius", "moment"])
def test_nan_never_replaces_a_good_checkpoint(tmp_path: Path, tensor: str) -> None:
    with pytest.raises(InputError, match=r"not finite .*checkpoint of step 5 stays: lower"):
        walked(tmp_path / "run", Walk(at=8, explodes=tensor))
    run = RunFolder.open(tmp_path / "run")
    assert run.load(training=True).state["step"] == 5
    assert len(run.checkpoints()) == 1


def test_a_fit_shorter_than_a_line_of_the_log_is_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not finite at step 3"):
        walked(tmp_path / "run", Walk(at=2, explodes="weight"), steps=3)
    assert not RunFolder.open(tmp_path / "run").checkpoints()


def test_infinite_buffers_are_found_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="radius is not finite before the first step"):
        walked(tmp_path / "run", Walk(explodes="start"))


def test_the_guard_lets_finite_models_pass(tmp_path: Path) -> None:
    assert walked(tmp_path / "run", Walk()).finished


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_comes_after_the_checkpoint(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    signal.signal(number, signal.SIG_DFL)  # nohup ignores SIGHUP, which is then no request.
    with pytest.raises(Stopped) as caught, stopped_by_exception():
        walked(tmp_path / "run", Walk(at=7, signal=number))
    assert caught.value.code == 128 + number
    state = RunFolder.open(tmp_path / "run").load(training=True).state
    assert state["step"] == 7
    assert not state["finished"]


@posix
def test_ctrl_c_in_python_ends_the_fit_and_not_the_program(tmp_path: Path) -> None:
    run = walked(tmp_path / "run", Walk(at=7, signal=signal.SIGINT))
    assert run.state["step"] == 7
    assert not run.finished


@posix
def test_a_second_signal_ends_at_once() -> None:
    with noted() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@posix
def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_exception(), noted() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_take_no_signals() -> None:
    seen: list[bool] = []

    def work() -> None:
        with noted() as asked:
            seen.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
    assert len(interruption.STOPPING) >= 2


class Broken:
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise OSError

    def isatty(self) -> bool:
        raise ValueError


@pytest.mark.parametrize("stream", [None, Broken()])
def test_progress_that_cannot_be_written_is_dropped(stream: Any) -> None:
    unfailing = Unfailing(stream)
    assert unfailing.write("text") == 4
    assert not unfailing.isatty()
    if stream is not None:  # The law above is not one of the stream itself.
        with pytest.raises(BrokenPipeError):
            stream.write("text")


@posix
def test_a_full_pipe_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrender.files.streams.PATIENCE", 0.05)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as pipe:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        unfailing = Unfailing(pipe)
        for _ in range(100):
            unfailing.write("a line\n")
        os.set_blocking(reading, False)
        while reader.read(1 << 16):
            pass
        unfailing.write("read again\n")
        assert reader.read(100) == b"read again\n"


@posix
@pytest.mark.fit
@pytest.mark.robustness
@pytest.mark.parametrize("end", ["TERM", "HUP", "INT", "2>&-", "2>/dev/full", ">/dev/full"])
def test_the_command_keeps_a_checkpoint_however_it_ends(
    scene_folder: Path, tmp_path: Path, end: str
) -> None:
    out = tmp_path / "run"
    words = [sys.executable, "-m", "unrender", "fit", "box", "--data", str(scene_folder)]
    words += ["--out", str(out), "--rays", "64", "--device", "cpu", "--checkpoint-every", "5"]
    if end.isalpha():
        number = signal.Signals[f"SIG{end}"]
        # Shells and nohup start processes that ignore some signals.
        process = subprocess.Popen(
            [*words, "--minutes", "5"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509
        )
        while not any((out / "checkpoints").glob("step_*")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        expected = 128 + number
    else:
        script = f"{shlex.join(words)} --steps 12 {end}"
        process = subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=120)
        expected = 1 if end == ">/dev/full" else 0
    assert process.returncode == expected, said
    assert b"Traceback" not in said
    run = RunFolder.open(out)
    assert run.finished == (not end.isalpha())
    assert run.load(training=True).state["step"] >= 5
    assert not [path for path in out.rglob(".*")]

"""The loop: it resumes bit-identically, survives being killed, and stops when asked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.training.fit import FitOptions, pick_device, train
from unrender.training.method import Method, Progress, halve
from unrender.training.run_folder import RunFolder


class Line(nn.Module):
    def __init__(self, units: int = 8):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(units))


@dataclass(frozen=True)
class ToyMethod(Method[Line, Tensor]):
    """Fits a mean to noise that the generator draws."""

    batch: int = 4
    units: int = 8
    interrupt_at: int = -1
    out_of_memory_above: int = 1 << 30
    explode: bool = False

    def build(self, data: Tensor, generator: torch.Generator) -> Line:
        return Line(self.units)

    def restore(self, tensors: Mapping[str, Tensor]) -> Line:
        model = Line(self.units)
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: Line) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), 0.1)

    def schedule(self, progress: Progress) -> float:
        return 0.1**progress.fraction

    def losses(
        self, model: Line, data: Tensor, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        if self.batch > self.out_of_memory_above:
            raise torch.OutOfMemoryError("no room")
        if progress.step == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        noise = torch.randn(self.batch, len(data), generator=generator)
        error = (model.weight - data - noise).square().mean()
        return {
            "error": error * (float("nan") if self.explode else 1),
            "metric/psnr": -10 * error.detach().log10(),
        }

    def smaller(self) -> "Method[Line, Tensor] | None":
        return halve(self, "batch")

    def render(self, model: Line, cameras: Cameras) -> Rendering:
        raise NotImplementedError


DATA = torch.arange(8.0)


def run_for(
    path: Path, steps: int, resume: bool = False, method: ToyMethod | None = None
) -> tuple[Line, RunFolder]:
    run = RunFolder.open(path) if resume else RunFolder.create(path, {})
    options = FitOptions(steps=steps, device="cpu", log_every=7, checkpoint_every=10)
    model, _ = train(method or ToyMethod(), DATA, options, run, resume, show=False)
    return model, run


def log_of(run: RunFolder) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_learns(tmp_path: Path) -> None:
    model, run = run_for(tmp_path / "run", 300)
    torch.testing.assert_close(model.weight.detach(), DATA, atol=0.5, rtol=0)
    log = log_of(run)
    assert log[-1]["loss"] < log[0]["loss"]
    assert log[-1]["psnr"] > log[0]["psnr"]
    assert run.load().state["finished"]


@pytest.mark.parametrize("stop", [1, 9, 20, 33])
def test_resume_continues_bit_identically(tmp_path: Path, stop: int) -> None:
    whole, whole_run = run_for(tmp_path / "whole", 50)
    interrupted = ToyMethod(interrupt_at=stop)
    run_for(tmp_path / "parts", 50, method=interrupted)
    assert not RunFolder.open(tmp_path / "parts").load().state["finished"]
    parts, parts_run = run_for(tmp_path / "parts", 50, resume=True)
    assert torch.equal(whole.weight, parts.weight)
    assert log_of(whole_run) == log_of(parts_run)
    a, b = whole_run.load(training=True), parts_run.load(training=True)
    assert all(torch.equal(a.optimizer[key], b.optimizer[key]) for key in a.optimizer)


def test_the_comparison_of_runs_can_fail(tmp_path: Path) -> None:
    whole, _ = run_for(tmp_path / "whole", 50)
    other, _ = run_for(tmp_path / "other", 49)
    assert not torch.equal(whole.weight, other.weight)


def test_a_finished_run_can_be_given_more_steps(tmp_path: Path) -> None:
    run_for(tmp_path / "run", 20)
    _, run = run_for(tmp_path / "run", 30, resume=True)
    assert run.load().state["step"] == 30


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    before, _ = run_for(tmp_path / "run", 20)
    after, run = run_for(tmp_path / "run", 20, resume=True)
    assert torch.equal(before.weight, after.weight)
    assert len(log_of(run)) == 2


def test_minutes_end_a_run(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    began = time.perf_counter()
    options = FitOptions(minutes=0.3 / 60, device="cpu")
    _, result = train(ToyMethod(), DATA, options, run, show=False)
    assert 0.3 <= result.seconds <= time.perf_counter() - began
    assert result.seconds < 3


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path, capsys) -> None:
    _, run = run_for(tmp_path / "run", 10, method=ToyMethod(batch=64, out_of_memory_above=16))
    assert run.load().state["step"] == 10


def test_a_gpu_too_small_for_anything_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit in GPU memory"):
        run_for(tmp_path / "run", 10, method=ToyMethod(out_of_memory_above=0))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not finite"):
        run_for(tmp_path / "run", 10, method=ToyMethod(explode=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(InputError, match="no CUDA GPU"):
        pick_device("cuda")


KILLED = """
import sys, importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("toy", sys.argv[1])
toy = importlib.util.module_from_spec(spec)
sys.modules["toy"] = toy
spec.loader.exec_module(toy)
path = Path(sys.argv[2])
run = toy.RunFolder.open(path) if path.exists() else toy.RunFolder.create(path, {})
print("ready", flush=True)
options = toy.FitOptions(steps=10**7, device="cpu", log_every=1, checkpoint_every=2)
toy.train(toy.ToyMethod(), toy.DATA, options, run, resume=True, show=False)
"""


@pytest.mark.fit
@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.study)])
def test_kill_at_random_moments_leaves_a_readable_run(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "run"
    generator = torch.Generator().manual_seed(0)
    step = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, __file__, str(path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        run = RunFolder.open(path)
        deadline = time.monotonic() + 60
        while not run.checkpoints() or int(run.checkpoints()[-1].name[5:]) <= step:
            assert time.monotonic() < deadline, "the fit writes no checkpoint"
            time.sleep(0.01)
        time.sleep(0.3 * float(torch.rand((), generator=generator)))
        process.kill()
        process.wait()
        process.stdout.close()
        state = run.load(training=True).state
        assert state["step"] > step
        step = state["step"]
    method = ToyMethod()
    options = FitOptions(steps=step + 5, device="cpu", log_every=1)
    _, result = train(method, DATA, options, RunFolder.open(path), resume=True, show=False)
    assert result.steps == step + 5
    steps = [line["step"] for line in log_of(RunFolder.open(path))]
    assert steps == list(range(1, step + 6))


def test_a_watcher_sees_the_model_and_its_time_does_not_count(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    def watch(model: Line, seconds: float) -> None:
        seen.append((float(model.weight.detach().norm()), seconds))
        time.sleep(0.2)

    run = RunFolder.create(tmp_path / "run", {})
    options = FitOptions(steps=30, log_every=10, device="cpu")
    _, result = train(ToyMethod(), torch.ones(8), options, run, show=False, watch=watch)
    assert len(seen) == 3
    assert [norm for norm, _ in seen] == sorted(norm for norm, _ in seen)
    assert result.seconds < 0.6


@dataclass(frozen=True)
class TwoRates(ToyMethod):
    """Two groups, of which the second stands still."""

    def optimizer(self, model: Line) -> torch.optim.Optimizer:
        self_made = nn.Parameter(torch.zeros(1))
        groups = [{"params": [model.weight], "lr": 0.1}, {"params": [self_made], "lr": 0.2}]
        return torch.optim.Adam(groups)

    def schedule(self, progress: Progress) -> list[float]:
        return [0.5, 0.0]

    def after_step(
        self, model: Line, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.0]


def test_each_group_may_have_its_own_rate(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    train(TwoRates(), torch.ones(8), FitOptions(steps=3, device="cpu"), run, show=False)

"""The training loop that all methods share."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.runtime.process import flushed_denormals, keep_freed_memory
from unrender.training.interruption import noted
from unrender.training.method import Data, Method, Model, Progress
from unrender.training.options import Device, FitOptions
from unrender.training.progress import Bar, progress_bar
from unrender.training.record import Checkpoint, Record, not_finite

MISFITS = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
)
"""What torch and the methods raise for tensors of other names, types or shapes."""


@dataclass(frozen=True)
class FitResult:
    """How a fit ended."""

    steps: int
    seconds: float
    interrupted: bool
    """Whether a signal ended it: the run can be continued with --resume."""


def pick_device(device: Device) -> torch.device:
    """The device for an option. InputError for a GPU that is not available."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: torch finds no CUDA GPU here: use --device cpu, or install a CUDA "
            "build of torch"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


class _Averages:
    """Means of the losses and metrics since the last entry of the log."""

    def __init__(self, sums: Mapping[str, float | int], count: int):
        self.sums, self.count = dict(sums), count

    def add(self, losses: Mapping[str, Tensor], total: Tensor) -> None:
        values = {name.removeprefix("metric/"): term for name, term in losses.items()}
        for name, term in {"loss": total, **values}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(term.detach())
        self.count += 1

    def means(self) -> dict[str, float]:
        return {name: value / self.count for name, value in self.sums.items()}


def train(
    method: Method[Model, Data],
    data: Data,
    options: FitOptions,
    record: Record,
    resume: bool = False,
    show: bool = True,
    watch: Callable[[Model, float], None] | None = None,
) -> tuple[Model, FitResult]:
    """Minimize the method's losses on `data` (already on the device), and keep the outcome.

    `watch` is called with the model and the seconds of training each time a line is logged;
    its own time does not count.

    Continues from the record's last checkpoint with `resume`: bit-identically on one machine
    when the budget is in steps. A budget in minutes counts the time of all sessions together.

    A signal that asks to stop ends it after the step at hand, with a checkpoint. InputError,
    with the last checkpoint as it was, once the model or its loss is not finite.
    """
    keep_freed_memory()
    device = pick_device(options.device)
    options = _with_budget(options, method.default_minutes)
    generator = torch.Generator().manual_seed(options.seed)
    model = method.build(data, generator)
    step, seconds, averages = 0, 0.0, _Averages({}, 0)
    checkpoint = None
    if resume and record.started:
        checkpoint = record.load(training=True)
        model = restored(method, checkpoint, record)
        step, seconds = checkpoint.state["step"], checkpoint.state["seconds"]
        averages = _Averages(checkpoint.state["sums"], checkpoint.state["count"])
    if resume:
        record.forget_after(step)
    model.to(device)
    data = method.prepare(model, data)
    optimizer = method.optimizer(model)
    rates = [group["lr"] for group in optimizer.param_groups]
    if checkpoint is not None:
        _restore_training(optimizer, generator, checkpoint, record)
    odd = not_finite(model.state_dict())
    if odd is not None:
        raise InputError(
            f"{record.name}: the model's {odd} is not finite before the first step: scale the "
            "data or change the options"
        )

    began = time.perf_counter() - seconds

    def save(finished: bool) -> None:
        tensors = {**_optimizer_tensors(optimizer), "generator": generator.get_state()}
        state = {
            "step": step,
            "seconds": time.perf_counter() - began,
            "finished": finished,
            "sums": averages.sums,
            "count": averages.count,
        }
        checkpoint = Checkpoint(model.state_dict(), tensors, state)
        _check_finite(record, checkpoint)
        record.save(checkpoint)

    done = 100 * min(1.0, _fraction(options, step, seconds))
    bar = progress_bar(100.0, f"fit {record.name}", show=show, percent=True, done=done)
    with noted() as interrupted, bar, flushed_denormals():
        while True:
            progress = Progress(step, _fraction(options, step, time.perf_counter() - began))
            if progress.fraction >= 1 or interrupted():
                break
            _set_rates(optimizer, rates, method.schedule(progress))
            try:
                losses = _step(method, model, data, optimizer, progress, generator)
            except torch.OutOfMemoryError as error:
                method = _halved(method, error, bar)
                continue
            averages.add(losses, _total(losses))
            step += 1
            if step % options.log_every == 0:
                _log(record, bar, averages, step, time.perf_counter() - began, progress)
                averages = _Averages({}, 0)
                if watch is not None:
                    paused = time.perf_counter()
                    watch(model, paused - began)
                    began += time.perf_counter() - paused
            if step % options.checkpoint_every == 0:
                save(finished=False)
        stopped = interrupted()
        state = {} if checkpoint is None else checkpoint.state
        if state.get("finished") and state["step"] == step:
            # A finished fit stays as it is: only a larger budget gives it more steps.
            return model, FitResult(step, state["seconds"], interrupted=False)
        if not stopped:
            method.finish(model, data)
            bar.update(100 - bar.n)
        seconds = time.perf_counter() - began
        save(finished=not stopped)
    return model, FitResult(step, seconds, stopped)


def restored(method: Method[Model, Any], checkpoint: Checkpoint, record: Record) -> Model:
    """The model of a checkpoint. InputError if it is not one of this method and its options."""
    try:
        return method.restore(checkpoint.model)
    except InputError as error:
        raise InputError(f"{record.newest}: {error}") from error
    except MISFITS as error:
        name = record.config.get("method", {}).get("name", type(method).__name__)
        raise InputError(
            f"{record.newest}/model.safetensors: is no model of {name} with the options in "
            f"config.json; {record.remedy}"
        ) from error


def _check_finite(record: Record, checkpoint: Checkpoint) -> None:
    """InputError for a checkpoint that would be of no use, so that the last good one stays."""
    odd = not_finite(checkpoint.model) or not_finite(checkpoint.optimizer, None)
    lost = not all(map(math.isfinite, checkpoint.state["sums"].values()))
    if odd is not None or lost:
        what = "the loss" if odd is None else f"the model's {odd}"
        raise InputError(_exploded(record, what, checkpoint.state["step"]))


def _exploded(record: Record, what: str, step: int) -> str:
    """What to say and do once training has failed."""
    kept = f"; the checkpoint of step {record.state['step']} stays" if record.started else ""
    return (
        f"{record.name}: {what} is not finite at step {step}{kept}: lower the learning rate, "
        "or look for wrong poses in the data"
    )


def _set_rates(
    optimizer: torch.optim.Optimizer, rates: list[float], factors: float | Sequence[float]
) -> None:
    """Scale the initial learning rates: one factor for all groups, or one each."""
    if isinstance(factors, float | int):
        factors = [factors] * len(rates)
    for group, rate, factor in zip(optimizer.param_groups, rates, factors, strict=True):
        group["lr"] = rate * factor


def _with_budget(options: FitOptions, minutes: float) -> FitOptions:
    """The options; with `minutes` if they name neither steps nor minutes."""
    if options.steps is None and options.minutes is None:
        return dataclasses.replace(options, minutes=minutes)
    return options


def _fraction(options: FitOptions, step: int, seconds: float) -> float:
    minutes = options.minutes
    by_steps = 0.0
    if options.steps is not None:
        by_steps = step / options.steps if options.steps else 1.0
    by_time = 0.0 if minutes is None else seconds / max(60 * minutes, 1e-9)
    return max(by_steps, by_time)


def _total(losses: Mapping[str, Tensor]) -> Tensor:
    terms = [term for name, term in losses.items() if not name.startswith("metric/")]
    return torch.stack(terms).sum()


def _step(
    method: Method[Model, Data],
    model: Model,
    data: Data,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    generator: torch.Generator,
) -> Mapping[str, Tensor]:
    optimizer.zero_grad(set_to_none=True)
    losses = method.losses(model, data, progress, generator)
    _total(losses).backward()
    optimizer.step()
    method.after_step(model, optimizer, progress)
    return losses


def _halved(
    method: Method[Model, Data], error: torch.OutOfMemoryError, bar: Bar
) -> Method[Model, Data]:
    smaller = method.smaller()
    if smaller is None:
        raise InputError(
            "the smallest batch does not fit in GPU memory: use --device cpu, or fewer units"
        ) from error
    torch.cuda.empty_cache()
    bar.write("The batch does not fit in GPU memory: continuing with half of it.")
    return smaller


def _log(
    record: Record,
    bar: Bar,
    averages: _Averages,
    step: int,
    seconds: float,
    progress: Progress,
) -> None:
    means = averages.means()
    if not all(math.isfinite(value) for value in means.values()):
        raise InputError(_exploded(record, "the loss", step))
    record.log({"step": step, "seconds": round(seconds, 3), **means})
    shown = {name: f"{means[name]:.4g}" for name in ("loss", "psnr") if name in means}
    bar.set_postfix({"step": step, **shown}, refresh=False)
    bar.update(100 * progress.fraction - bar.n)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def _restore_training(
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    checkpoint: Checkpoint,
    record: Record,
) -> None:
    """Restore what the next step needs beside the model. InputError."""
    try:
        generator.set_state(checkpoint.optimizer["generator"])
        _restore_optimizer(optimizer, checkpoint.optimizer)
    except MISFITS as error:
        raise InputError(
            f"{record.newest}: its optimizer does not fit the model; {record.remedy}"
        ) from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore saved moments; the options of the groups come from the method."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key != "generator":
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for index, values in state.items():
        for name, value in values.items():
            # A moment is a number, or one for each number of its parameter.
            if value.dim() and value.shape != parameters[index].shape:
                raise ValueError(f"{index}.{name} is of another shape than its parameter")
    optimizer.load_state_dict({"state": state, "param_groups": groups})

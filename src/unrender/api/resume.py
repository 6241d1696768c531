"""Continue a fit that was interrupted, or that is to go on for longer."""

import dataclasses
from pathlib import Path
from typing import Any

from unrender.api.described import describe_cameras
from unrender.api.fit import AnyMethod, Watch, check_same, fit_to
from unrender.api.recorded import read_recorded
from unrender.api.run import Run
from unrender.errors import InputError
from unrender.methods import describe, from_description
from unrender.training.options import FitOptions
from unrender.training.record import Record, RunInMemory
from unrender.training.recorded_options import recorded_options
from unrender.training.run_folder import RunFolder


def fit_or_open(
    method: AnyMethod, source: Any, options: FitOptions, out: Path, progress: bool = True
) -> Run:
    """The finished run in `out`, or one fitted now; one that was interrupted is continued.

    InputError if the run there has other options of the method, or was fitted to other data.
    Ctrl-C ends the fit with KeyboardInterrupt, once its checkpoint is written.
    """
    record = RunFolder.open(out) if out.exists() else None
    if record is not None and record.finished:
        views = describe_cameras(method.data.describe(source))
        check_same(record, describe(method), views)
        return Run.open(out, options.device)
    new = out if record is None else None
    run = fit_to(method, source, options, out=new, record=record, progress=progress)
    if not run.finished:
        raise KeyboardInterrupt
    return run


def resume(
    path: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    progress: bool = True,
) -> Run:
    """Continue the run in a folder from its last checkpoint; see `resume_run`."""
    return resume_run(RunFolder.open(Path(path)), None, minutes, steps, progress)


def resume_run(
    record: Record,
    data: Any = None,
    minutes: float | None = None,
    steps: int | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> Run:
    """Continue a fit from its last checkpoint, with the options that it was begun with.

    `data` are what it was fitted to, read again if they are None. `minutes` or `steps`, if
    given, replace the budget that it had; they count from the first step, so a larger one also
    continues a finished run. Raises InputError if the data are no longer there or have changed.
    """
    if isinstance(record, RunInMemory):
        record = record.copy()
    config = record.config
    source = f"{record.name}: config"
    method = from_description(config.get("method"), source)
    fit_config = config.get("fit")
    known = {field.name for field in dataclasses.fields(FitOptions)}
    if not isinstance(fit_config, dict) or not set(fit_config) <= known:
        raise InputError(f"{source}: does not describe how it was fitted: fit again")
    options = recorded_options(FitOptions, fit_config, source)
    if minutes is not None or steps is not None:
        options = dataclasses.replace(options, minutes=minutes, steps=steps)
    source_data = read_recorded(record, method.data) if data is None else data
    preset = config["method"].get("preset")
    return fit_to(
        method,
        source_data,
        options,
        preset=preset,
        record=record,
        progress=progress,
        watch=watch,
    )

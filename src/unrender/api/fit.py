"""Fit a method to data: the `fit` and `fit_shape` of the front door."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unrender.api.abandoned import discard_if_abandoned
from unrender.api.automatic import read_and_choose, reason_of
from unrender.api.described import describe_cameras
from unrender.api.recorded import absolute_source
from unrender.api.run import Run
from unrender.data.formats.camera_files import NamedCameras
from unrender.errors import InputError
from unrender.files import check_new, check_new_folder
from unrender.kernels.runtime.process import flushed_denormals, keep_freed_memory
from unrender.methods import describe
from unrender.methods.presets import Preset, check_options, find_preset
from unrender.methods.presets.automatic import AUTO
from unrender.training.fit import Device, FitOptions, pick_device, train
from unrender.training.interruption import Stopped
from unrender.training.method import DataKind, Fitted, Method
from unrender.training.progress import tell
from unrender.training.record import Record, RunInMemory, provenance
from unrender.training.run_folder import RESUME, RunFolder

AnyMethod = Method[Any, Any]
Watch = Callable[[Any, float], None]
ShapeKind = Literal["mesh", "points", "voxels", "sdf", "occupancy"]
SHAPE_PRESETS: dict[ShapeKind, str] = {
    "mesh": "fit-mesh",
    "points": "fit-points",
    "voxels": "fit-voxels",
    "sdf": "sdf",
    "occupancy": "occupancy",
}
"""What `fit_shape` fits, and the presets that do so."""


def fit(
    method: str | AnyMethod,
    data: object,
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: Device = "auto",
    log_every: int = 50,
    checkpoint_every: int = 1000,
    progress: bool = True,
    watch: Watch | None = None,
    **options: Any,
) -> Run:
    """Fit a method to data, and return the fitted model.

    Args:
        method: A preset's name (`unrender.methods` lists them), a method with its options, or
            "auto" for the preset that suits the posed images; `Run.preset` names it.
        data: What the method is fitted to: for radiance fields and pose flows a `Dataset`,
            `Views`, a path or the name of a built-in scene; for shapes a shape or its file; for
            image-field an image; for image-to-… a set of images and shapes; for view-… the
            built-in "objects", a posed scene or a folder of them.
        out: A new folder to keep the run in; without it the run stays in memory, and
            `Run.save` keeps it later.
        minutes: Training time; without `minutes` and `steps`, 5 minutes (distilled: 1).
        steps: Optimizer steps; with `minutes` too, whichever ends first.
        seed: Seed of all random numbers.
        device: "auto" takes a CUDA GPU if there is one, else the CPU.
        log_every: Steps between entries of the metrics.
        checkpoint_every: Steps between checkpoints in `out`.
        progress: Whether to show a progress bar.
        watch: Called with the model and the seconds of training at every logged step.
        **options: Options of the method (`levels=12`) and, where `data` is a path, of reading
            it (`downscale=2`).

    Returns:
        The fitted `Run`. Ctrl-C ends the fit after the step at hand; the run is then not
        `finished`, and `Run.resume` continues it.

    Raises InputError, a ValueError, for names and options that do not exist (with the nearest
    ones), data that the method cannot be fitted to, and folders that exist or cannot be
    written.

    >>> import unrender as ur
    >>> run = ur.fit("instant-ngp-fast", "bricks", downscale=8, steps=20, progress=False)
    >>> run.steps
    20
    """
    fit_options = FitOptions(steps, minutes, seed, device, log_every, checkpoint_every)
    if out is not None:
        check_free(Path(out))  # Reading the data may take a while.
    keep_freed_memory()
    # Torch's threads inherit this when they start, with the first large operation.
    with flushed_denormals():
        reason = None
        if method == AUTO:
            data, choice = read_and_choose(data, options)
            method, reason = choice.preset, reason_of(choice)
        chosen, preset, reading = choose(method, options)
        return fit_to(
            chosen,
            chosen.data.read(data, reading),
            fit_options,
            preset=preset,
            reason=reason,
            out=out,
            progress=progress,
            watch=watch,
        )


def fit_shape(
    shape: object,
    as_: ShapeKind = "mesh",
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    **options: Any,
) -> Run:
    """Fit a mesh, points, voxels or a neural field to a shape by gradient descent.

    Args:
        shape: A `Mesh`, `PointCloud` or `VoxelGrid`, or the path of its file.
        as_: "mesh" deforms a sphere, "points" moves a point cloud, "voxels" fills cells, and
            "sdf" and "occupancy" fit a neural field.
        out: A new folder to keep the run in, with the fitted shape's file and progress.gif.
        minutes: Training time; without `minutes` and `steps`, 1 minute.
        steps: Optimizer steps; with `minutes` too, whichever ends first.
        **options: As for `fit`, and the options of the method.

    Raises InputError.

    >>> import unrender as ur
    >>> run = ur.fit_shape(ur.Mesh.torus(), "points", steps=5, progress=False)
    >>> run.shape()
    PointCloud(20000 points)
    """
    if as_ not in SHAPE_PRESETS:
        raise InputError(f"as_={as_!r}: choose one of {', '.join(SHAPE_PRESETS)}")
    if minutes is None and steps is None:
        minutes = 1.0
    return fit(SHAPE_PRESETS[as_], shape, out=out, minutes=minutes, steps=steps, **options)


def choose(
    method: str | AnyMethod, options: dict[str, Any]
) -> tuple[AnyMethod, str | None, Any]:
    """The method with its options, its preset, and the options of reading its data.

    InputError for an option that neither has.
    """
    preset: Preset | None = None
    if isinstance(method, str):
        preset = find_preset(method)
        plain = preset.method()
    else:
        plain = method
    assert dataclasses.is_dataclass(plain)
    own = {field.name for field in dataclasses.fields(plain)}
    reading = {field.name for field in dataclasses.fields(plain.data.options)}
    label = preset.name if preset is not None else type(plain).__name__
    check_options(label, options, type(plain), plain.data.options, elsewhere=FitOptions)
    chosen = dataclasses.replace(plain, **{k: v for k, v in options.items() if k in own})
    read = plain.data.options(**{k: v for k, v in options.items() if k in reading - own})
    return chosen, None if preset is None else preset.name, read


def fit_to(
    method: AnyMethod,
    source: Any,
    options: FitOptions,
    *,
    preset: str | None = None,
    reason: str | None = None,
    out: str | Path | None = None,
    record: Record | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> Run:
    """Fit a method to data that were read already; what `fit` does after reading.

    `reason` is why the preset was chosen, where the user did not name it, which is recorded.
    `record` is a fit that is continued, which must have the same method and data. InputError.
    """
    kind: DataKind[Any, Any] = method.data
    pick_device(options.device)  # Raises, before anything is made.
    if out is not None:
        check_free(Path(out))
    described = kind.describe(source)
    config: dict[str, Any] = {
        "method": describe(method, preset),
        "fit": dataclasses.asdict(options),
        "data": {**described.source, "source": absolute_source(described.source["source"])},
        "views": describe_cameras(described),
    }
    if reason is not None:
        config["method"]["reason"] = reason
    resumed = record is not None
    keep = described.keep_cameras and method.any_size
    cameras = (
        NamedCameras(described.cameras, described.names, described.origin) if keep else None
    )
    if record is not None:
        check_same(record, config["method"], config["views"])
    elif out is not None:
        record = RunFolder.create(Path(out), config)
    else:
        name = str(config["method"]["preset"])
        record = RunInMemory(name, {**config, **provenance()}, cameras)
    if not isinstance(record, RunFolder):
        return _trained(method, source, options, record, resumed, progress, watch)
    try:
        with record.written():
            if cameras is not None:
                record.keep_cameras(cameras)
            return _trained(method, source, options, record, resumed, progress, watch)
    except Stopped:
        if progress and record.started:
            tell(f"Stopped, with a checkpoint; continue: unrender fit --resume {record.path}")
        raise


def _trained(
    method: AnyMethod,
    source: Any,
    options: FitOptions,
    record: Record,
    resumed: bool,
    progress: bool,
    watch: Watch | None,
) -> Run:
    """Train, and write what the kind of data shows of a fit into the run's folder."""
    kind, device = method.data, pick_device(options.device)
    for remark in kind.remarks(method, source) if progress else ():
        tell(remark)
    folder = record.path if isinstance(record, RunFolder) else None
    follower = None if folder is None else kind.watcher(method, source, device)
    watches = [each for each in (watch, follower and follower.watch) if each is not None]

    def watch_all(model: nn.Module, seconds: float) -> None:
        for each in watches:
            each(model, seconds)

    part = kind.training(source).to(device)
    model, result = train(
        method, part, options, record, resumed, progress, watch_all if watches else None
    )
    run = Run(record, Fitted(method, model), source)
    if follower is not None and folder is not None and not result.interrupted:
        follower.write(run.fitted, folder)
    return run


def check_free(out: Path) -> None:
    """Refuse an `out` that exists, before any work is done. InputError.

    What a fit left that ended before its first checkpoint is of no use, and makes room.
    """
    discard_if_abandoned(out)
    check_new(out, RESUME)
    check_new_folder(out)


def check_same(record: Record, method: dict[str, Any], views: dict[str, Any]) -> None:
    """InputError unless a run has this method, its options, and these data."""
    config = record.config
    before, now = config.get("method", {}), method
    if any(before.get(key) != now[key] for key in ("name", "options")):
        raise InputError(
            f"{record.name}: was fitted with other options of the method: use the "
            "same ones to resume it, or another folder"
        )
    if config.get("views", {}).get("fingerprint") != views["fingerprint"]:
        raise InputError(
            f"{record.name}: was fitted to other data: use the same to resume it, or "
            "another folder"
        )

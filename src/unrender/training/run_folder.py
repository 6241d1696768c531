"""A run folder: what a fit leaves behind on disk.

It has all that is needed to read, resume or repeat one experiment:

config.json         the method and its options, the command, data, commit and versions
metrics.jsonl       one line per logged step
cameras.json        the cameras of the training views
evaluation.json     scores on held-out data, once `unrender evaluate` has run
checkpoints/step_…/ model.safetensors, optimizer.safetensors, state.json

Whatever is written is complete before it takes its name, so a process that is killed at any
moment leaves the last good checkpoint.
"""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.errors import InputError
from unrender.files import (
    LARGEST,
    check_new,
    discard,
    read_json_object,
    remove_abandoned,
    remove_folder,
    replacing,
    temporary_path,
    write_atomically,
    write_json,
)
from unrender.files.arrays import read_tensors
from unrender.files.locks import locked
from unrender.training.metrics import Entry, lines_until, read_metrics
from unrender.training.record import Checkpoint, Record, not_finite, provenance
from unrender.training.run_json import checked_config, checked_state

CAMERAS = "cameras.json"
REPLACING = "_final"
"""Added to the name of a checkpoint while it replaces another one of the same step."""
STEP = re.compile(rf"step_\d{{8,15}}({REPLACING})?")
RESUME = "choose another folder, continue the run with --resume, or delete it"


@dataclass(frozen=True)
class RunFolder(Record):
    """A run folder by its path."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, object]) -> "RunFolder":
        """A new folder with its config.json; an existing path is refused."""
        check_new(path, RESUME)
        with replacing(path, folder=True) as folder:
            write_json(folder / "config.json", {"format": 1, **provenance(), **config})
            (folder / "checkpoints").mkdir()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run."""
        if not path.is_dir():
            raise InputError(f"{path}: is not a run folder: give the folder of a fit")
        run = cls(path)
        run.config  # noqa: B018 - raises
        return run

    @contextmanager
    def written(self) -> Generator[None]:
        """Keep other processes from writing into it. InputError if one is doing so.

        What a process left that was killed here is removed, and so is the folder if the block
        fails before there is a checkpoint.
        """
        with locked(self.path):
            for folder in (self.path.parent, self.path, self._checkpoints):
                remove_abandoned(folder)
            for moved in self._checkpoints.glob(f"step_*{REPLACING}"):
                _exchange(moved, moved.with_name(moved.name.removesuffix(REPLACING)))
            try:
                yield
            except BaseException:
                self.discard_if_unused()
                raise

    @property
    def config(self) -> dict[str, Any]:
        path = self.path / "config.json"
        return checked_config(str(path), read_json_object(path, "this is not a run folder"))

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def metrics(self) -> list[Entry]:
        return read_metrics(self.metrics_file)

    @property
    def cameras(self) -> NamedCameras | None:
        path = self.path / CAMERAS
        return read_cameras(path) if path.exists() else None

    def keep_cameras(self, cameras: NamedCameras) -> None:
        """Write cameras.json, unless it is there."""
        if not (self.path / CAMERAS).exists():
            write_cameras(self.path / CAMERAS, cameras)

    def log(self, values: Mapping[str, float | int]) -> None:
        """Append one line to metrics.jsonl."""
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(dict(values)) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.metrics_file}: cannot be written ({error.strerror}): free space, then "
                "continue with --resume"
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop log lines later than `step`, and a last line that a kill cut short."""
        if not self.metrics_file.exists():
            return
        kept = lines_until(self.metrics_file, step)
        write_atomically(self.metrics_file, "".join(f"{line}\n" for line in kept).encode())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then drop all older ones but the last."""
        target = self._checkpoints / f"step_{checkpoint.state['step']:08d}"
        # The same step again, now finished, replaces what is there.
        written = target.with_name(target.name + REPLACING) if target.exists() else target
        with replacing(written, folder=True) as temporary:
            _write_checkpoint(temporary, checkpoint)
        if written != target:
            _exchange(written, target)
        for old in self.checkpoints()[:-2]:
            remove_folder(old)

    def discard_if_unused(self) -> None:
        """Remove a folder without a checkpoint, so that its name is free again."""
        if not self.checkpoints():
            remove_folder(self.path)

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(p for p in self._checkpoints.glob("step_*") if STEP.fullmatch(p.name))

    @property
    def name(self) -> str:
        # The number of runs/DATA/METHOD/NUMBER says nothing by itself.
        last = 3 if self.path.name.isdigit() else 1
        return "/".join(self.path.parts[-last:])

    @property
    def started(self) -> bool:
        return bool(self.checkpoints())

    @property
    def state(self) -> dict[str, Any]:
        found = self.checkpoints()
        return self._state(found[-1]) if found else {}

    def _state(self, folder: Path) -> dict[str, Any]:
        path = folder / "state.json"
        return checked_state(str(path), read_json_object(path, self.remedy), self.remedy)

    @property
    def newest(self) -> str:
        return str(self.checkpoints()[-1]) if self.started else str(self.path)

    @property
    def remedy(self) -> str:
        found = self.checkpoints()
        if len(found) < 2:
            return "fit again"
        return f"delete the folder {found[-1].name} to go on from {found[-2].name}"

    @property
    def evaluation(self) -> dict[str, Any]:
        path = self.path / "evaluation.json"
        return read_json_object(path, "evaluate again") if path.exists() else {}

    @classmethod
    def copy(cls, record: Record, path: Path) -> "RunFolder":
        """A new folder with the configuration, metrics and newest checkpoint of a record."""
        folder = cls.create(path, record.config)
        try:
            if record.cameras is not None:
                folder.keep_cameras(record.cameras)
            for entry in record.metrics:
                folder.log(entry)
            folder.save(record.load(training=True))
        except BaseException:
            folder.discard_if_unused()
            raise
        return folder

    def load(self, training: bool = False) -> Checkpoint:
        """The newest checkpoint; the optimizer's part only for `training`."""
        found = self.checkpoints()
        if not found:
            raise InputError(
                f"{self.path}/checkpoints: no checkpoint there: the fit ended before its "
                "first; run it again"
            )
        folder, state = found[-1], self._state(found[-1])
        tensors: list[dict[str, Any]] = []
        for name in ("model", "optimizer") if training else ("model",):
            file = folder / f"{name}.safetensors"
            tensors.append(read_tensors(file, self.remedy))
            odd = not_finite(tensors[-1], LARGEST if name == "model" else None)
            if odd is not None:
                raise InputError(
                    f"{file}: {odd:.60} contains NaN, Inf or numbers beyond {LARGEST:g}; "
                    f"{self.remedy}"
                )
        return Checkpoint(tensors[0], tensors[1] if training else {}, state)


def _write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    for name, tensors in (("model", checkpoint.model), ("optimizer", checkpoint.optimizer)):
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        (folder / f"{name}.safetensors").write_bytes(save(plain))
    (folder / "state.json").write_text(json.dumps(checkpoint.state, indent=2) + "\n")


def _exchange(new: Path, old: Path) -> None:
    """Put `new` in the place of `old`; at any moment, one of them has a name to be read by."""
    aside = temporary_path(old)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    discard(aside)

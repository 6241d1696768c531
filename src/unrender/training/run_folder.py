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
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.errors import InputError
from unrender.files import check_new, read_json_object, replacing, write_atomically, write_json
from unrender.files.arrays import read_tensors
from unrender.training.metrics import Entry, read_metrics
from unrender.training.record import Checkpoint, Record, provenance

CAMERAS = "cameras.json"
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
        if run.config.get("format") != 1:
            raise InputError(
                f"{path}/config.json: format {run.config.get('format')!r} is not 1: "
                "use the version of unrender that wrote it"
            )
        return run

    @property
    def config(self) -> dict[str, Any]:
        return read_json_object(self.path / "config.json", "this is not a run folder")

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
        kept: list[str] = []
        for line in self.metrics_file.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("step", step + 1) <= step:
                kept.append(line + "\n")
        write_atomically(self.metrics_file, "".join(kept).encode())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then drop all older ones but the last."""
        folder = self.path / "checkpoints"
        target = folder / f"step_{checkpoint.state['step']:08d}"
        if target.exists():  # The same step again, now finished: replace what is there.
            aside = folder / f".replaced_{os.getpid()}.tmp"
            with replacing(aside, folder=True) as temporary:
                _write_checkpoint(temporary, checkpoint)
            _exchange(aside, target)
        else:
            with replacing(target, folder=True) as temporary:
                _write_checkpoint(temporary, checkpoint)
        for old in self.checkpoints()[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def discard_if_unused(self) -> None:
        """Remove a folder in which no step was taken, so that its name is free again."""
        if not self.checkpoints() and not self.metrics_file.exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step_*"))

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
        return read_json_object(found[-1] / "state.json", "fit again") if found else {}

    @property
    def evaluation(self) -> dict[str, Any]:
        path = self.path / "evaluation.json"
        return read_json_object(path, "evaluate again") if path.exists() else {}

    @classmethod
    def copy(cls, record: Record, path: Path) -> "RunFolder":
        """A new folder with the configuration, metrics and newest checkpoint of a record."""
        folder = cls.create(path, record.config)
        if record.cameras is not None:
            folder.keep_cameras(record.cameras)
        for entry in record.metrics:
            folder.log(entry)
        folder.save(record.load(training=True))
        return folder

    def load(self, training: bool = False) -> Checkpoint:
        """The newest checkpoint; the optimizer's part only for `training`."""
        found = self.checkpoints()
        if not found:
            raise InputError(
                f"{self.path}/checkpoints: no checkpoint there: the fit ended before its "
                "first; run it again"
            )
        folder = found[-1]
        remedy = f"delete {folder} to go back to the checkpoint before, or fit again"
        state = read_json_object(folder / "state.json", remedy)
        model = read_tensors(folder / "model.safetensors", remedy)
        optimizer = read_tensors(folder / "optimizer.safetensors", remedy) if training else {}
        return Checkpoint(model, optimizer, state)


def _write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    for name, tensors in (("model", checkpoint.model), ("optimizer", checkpoint.optimizer)):
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        write_atomically(folder / f"{name}.safetensors", save(plain))
    write_json(folder / "state.json", checkpoint.state)


def _exchange(new: Path, old: Path) -> None:
    """Put `new` in the place of `old`; in between, `new` has a name that readers find."""
    between = old.with_name(old.name + "_final")
    new.rename(between)
    shutil.rmtree(old)
    between.rename(old)

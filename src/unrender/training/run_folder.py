"""What a fit leaves behind, in a folder or in memory.

A run folder has all that is needed to read, resume or repeat one experiment:

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
import platform
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unrender import __version__
from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.errors import InputError
from unrender.files import folder_in_place, read_json_object, write_atomically, write_json
from unrender.training.metrics import Entry, read_metrics

CAMERAS = "cameras.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    """The optimizer's tensors by "index.name", with the generator's state as "generator"."""
    state: dict[str, Any]
    """step, seconds, finished, and the averages that the next log line will report."""


class Record(ABC):
    """Where a fit keeps its configuration, its log and its checkpoints."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Shown beside the progress bar."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The method, its data and the options of the fit, as config.json holds them."""

    @property
    @abstractmethod
    def metrics(self) -> list[Entry]:
        """What was logged, oldest first."""

    @property
    @abstractmethod
    def cameras(self) -> NamedCameras | None:
        """The cameras of the training views."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """`step`, `seconds` and `finished` of the newest checkpoint."""

    @property
    @abstractmethod
    def evaluation(self) -> dict[str, Any]:
        """The scores that were kept; empty if there are none."""

    @property
    @abstractmethod
    def started(self) -> bool:
        """Whether there is a checkpoint to load."""

    @abstractmethod
    def log(self, values: Mapping[str, float | int]) -> None:
        """Append one entry to the metrics."""

    @abstractmethod
    def forget_after(self, step: int) -> None:
        """Drop the metrics of later steps."""

    @abstractmethod
    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""

    @abstractmethod
    def load(self, training: bool = False) -> Checkpoint:
        """The newest checkpoint; the optimizer's part only for `training`. InputError."""

    @property
    def finished(self) -> bool:
        """Whether its fit came to its end; not if it ended before its first checkpoint."""
        return self.started and bool(self.state.get("finished"))


class RunInMemory(Record):
    """A fit that was given no folder: only its last checkpoint is kept."""

    def __init__(
        self, name: str, config: Mapping[str, Any], cameras: NamedCameras | None = None
    ) -> None:
        self._name, self._config, self._cameras = name, dict(config), cameras
        self._metrics: list[Entry] = []
        self._checkpoint: Checkpoint | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def config(self) -> dict[str, Any]:
        return self._config

    @property
    def metrics(self) -> list[Entry]:
        return self._metrics

    @property
    def cameras(self) -> NamedCameras | None:
        return self._cameras

    @property
    def state(self) -> dict[str, Any]:
        return self.load().state

    @property
    def evaluation(self) -> dict[str, Any]:
        return {}

    @property
    def started(self) -> bool:
        return self._checkpoint is not None

    def log(self, values: Mapping[str, float | int]) -> None:
        self._metrics.append({name: float(value) for name, value in values.items()})

    def forget_after(self, step: int) -> None:
        self._metrics = [entry for entry in self._metrics if entry["step"] <= step]

    def save(self, checkpoint: Checkpoint) -> None:
        # These are the model's own tensors, which change until the fit ends with another call.
        self._checkpoint = checkpoint

    def load(self, training: bool = False) -> Checkpoint:
        assert self._checkpoint is not None, "a fit ends with a checkpoint"
        if not training:
            return self._checkpoint
        # Training changes tensors in place; those that are kept must not follow.
        model, optimizer = (
            {name: tensor.detach().clone() for name, tensor in part.items()}
            for part in (self._checkpoint.model, self._checkpoint.optimizer)
        )
        return Checkpoint(model, optimizer, self._checkpoint.state)

    def copy(self) -> "RunInMemory":
        """The same fit, which can be continued without changing this one."""
        other = RunInMemory(self._name, self._config, self._cameras)
        other._metrics, other._checkpoint = list(self._metrics), self._checkpoint
        return other


def processor() -> str:
    """The processor's name and the number of its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return f"{model or platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def provenance() -> dict[str, object]:
    """What made this: the command, the commit, the versions, the machine."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
        commit = found.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit,
        "versions": {
            "unrender": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


@dataclass(frozen=True)
class RunFolder(Record):
    """A run folder by its path."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, object]) -> "RunFolder":
        """A new folder with its config.json; an existing path is refused."""
        if path.exists():
            raise InputError(
                f"{path}: exists already: choose another folder, continue the run with "
                "--resume, or delete it"
            )
        with folder_in_place(path) as folder:
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
            with folder_in_place(aside) as temporary:
                _write_checkpoint(temporary, checkpoint)
            _exchange(aside, target)
        else:
            with folder_in_place(target) as temporary:
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
        model = _read_tensors(folder / "model.safetensors", remedy)
        optimizer = _read_tensors(folder / "optimizer.safetensors", remedy) if training else {}
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


def _read_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: not found: {remedy}") from error
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is damaged ({reason}): {remedy}") from error

"""What a fit leaves behind, in memory or in a folder, and what made it."""

import os
import platform
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrender import __version__
from unrender.data.formats.camera_files import NamedCameras
from unrender.files import LARGEST
from unrender.training.metrics import Entry


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    """The optimizer's tensors by "index.name", with the generator's state as "generator"."""
    state: dict[str, Any]
    """step, seconds, finished, and the averages that the next log line will report."""


def not_finite(tensors: Mapping[str, Tensor], most: float | None = LARGEST) -> str | None:
    """The name of the first tensor with NaN, Inf or numbers beyond `most`; None if none has."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            fine = tensor.isfinite() if most is None else tensor.abs() <= most
            if not bool(fine.all()):
                return name
    return None


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
    def newest(self) -> str:
        """The newest checkpoint, for messages."""
        return self.name

    @property
    def remedy(self) -> str:
        """What to do about a newest checkpoint that is damaged."""
        return "fit again"

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


def _commit() -> str | None:
    """The commit of the checkout that this is, if it is one and git is there."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():  # Else it would be that of a project around it.
        return None
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def provenance() -> dict[str, object]:
    """What made this: the command, the commit, the versions, the machine."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
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

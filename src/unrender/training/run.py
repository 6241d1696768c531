"""A run folder: all that is needed to read, resume or repeat one experiment.

config.json         the method and its options, the command, data, commit and versions
metrics.jsonl       one line a logged step
evaluation.json     figures on held-out views, once `unrender evaluate` has run
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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unrender import __version__
from unrender.errors import InputError
from unrender.files import folder_in_place, read_json_object, write_atomically, write_json


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    """The optimiser's tensors by "index.name", with the generator's state as "generator"."""
    state: dict[str, Any]
    """step, seconds, finished, and the averages that the next log line will report."""


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
class Run:
    """A run folder by its path."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, object]) -> "Run":
        """A new folder with its config.json; an existing path is refused."""
        if path.exists():
            raise InputError(
                f"{path}: exists already: choose another --out, continue it with --resume, "
                "or delete it"
            )
        with folder_in_place(path) as folder:
            write_json(folder / "config.json", {"format": 1, **config, **provenance()})
            (folder / "checkpoints").mkdir()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run."""
        if not path.is_dir():
            raise InputError(f"{path}: no run folder is there: give the --out of a fit")
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
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def log(self, values: Mapping[str, float | int]) -> None:
        """Append one line to metrics.jsonl."""
        try:
            with self.metrics.open("a") as file:
                file.write(json.dumps(dict(values)) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.metrics}: cannot be written ({error.strerror}): free space, then "
                "continue with --resume"
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop log lines later than `step`, and a last line that a kill cut short."""
        if not self.metrics.exists():
            return
        kept: list[str] = []
        for line in self.metrics.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("step", step + 1) <= step:
                kept.append(line + "\n")
        write_atomically(self.metrics, "".join(kept).encode())

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
        if not self.checkpoints() and not self.metrics.exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step_*"))

    @property
    def finished(self) -> bool:
        """Whether its fit came to its end; not if it was killed before its first checkpoint."""
        found = self.checkpoints()
        remedy = "fit again"
        return bool(found) and bool(
            read_json_object(found[-1] / "state.json", remedy).get("finished")
        )

    def load(self, training: bool = False) -> Checkpoint:
        """The newest checkpoint; the optimiser's part only for `training`."""
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

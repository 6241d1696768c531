"""Base class of studies of films, and the film that they are about."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unrender.api.fit import AnyMethod
from unrender.api.resume import fit_or_open
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.errors import InputError
from unrender.report.findings import Findings
from unrender.training.options import Device, FitOptions


@dataclass(frozen=True)
class FilmSubject:
    """A film of a scene that moves, and where the models fitted to it are kept."""

    source: str = "lamp"
    """A built-in scene or a path, whose views have times."""
    work: Path = Path("studies/runs")
    """Folder of the models that a study fits; finished ones are used again."""
    seed: int = 0
    device: Device = "auto"
    say: Callable[[str], None] = print

    @cached_property
    def film(self) -> Dataset:
        """The views. InputError if there are no times, or none are held out."""
        data = load_dataset(self.source, LoadOptions())
        times = data.train.cameras.times
        if times is None or len(times.unique()) < 2:
            raise InputError(f"{self.source}: has no times that differ: give a film")
        if not len(data.test):
            raise InputError(f"{self.source}: has no held-out views: give a film that has")
        return data

    def fitted(self, name: str, method: AnyMethod, minutes: float, steps: int | None) -> Run:
        """A model fitted to the film; a finished one of this name is used again."""
        budget = f"{steps}-steps" if steps is not None else f"{minutes:g}-minutes"
        out = self.work / f"{name}-{budget}-seed-{self.seed}"
        if not out.exists():
            self.say(f"Fitting {out.name}")
        options = FitOptions(minutes=minutes, steps=steps, seed=self.seed, device=self.device)
        return fit_or_open(method, self.film, options, out)


@dataclass(frozen=True)
class FilmStudy(ABC):
    """One question about films. Subclasses are frozen dataclasses of its options."""

    @abstractmethod
    def run(self, subject: FilmSubject) -> Findings: ...

"""Options of the training loop. Nothing here imports torch, so that help texts come at once."""

import math
from dataclasses import dataclass
from typing import Literal

from unrender.errors import InputError

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class FitOptions:
    """Options of the training loop, the same for every method."""

    steps: int | None = None
    """Optimizer steps; with minutes too, whichever ends first."""
    minutes: float | None = None
    """Minutes of training; 5 if neither minutes nor steps are given."""
    seed: int = 0
    """Seed of all random numbers."""
    device: Device = "auto"
    """Where to compute; auto takes a CUDA GPU if there is one, else the CPU."""
    log_every: int = 50
    """Steps between entries of the training log."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; one is always written at the end and on Ctrl-C."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 0:
            raise InputError(f"steps {self.steps}: give at least 0")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"minutes {self.minutes:g}: give more than 0")
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: give at least 1")

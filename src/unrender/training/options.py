"""Options of the training loop. Nothing here imports torch, so that help texts come at once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from unrender.ranges import Range, check_ranges

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class FitOptions:
    """Options of the training loop, the same for every method."""

    steps: Annotated[int | None, Range(0, 10**12)] = None
    """Optimizer steps; with minutes too, whichever ends first."""
    minutes: float | None = None
    """Minutes of training; 5 (distilled: 1) if neither minutes nor steps are given."""
    seed: int = 0
    """Seed of all random numbers."""
    device: Device = "auto"
    """Where to compute; auto takes a CUDA GPU if there is one, else the CPU."""
    log_every: Annotated[int, Range(1, 10**12)] = 50
    """Steps between entries of the training log."""
    checkpoint_every: Annotated[int, Range(1, 10**12)] = 1000
    """Steps between checkpoints; one is always written at the end and on Ctrl-C."""

    def __post_init__(self) -> None:
        check_ranges(self)

"""A film of a fit: what it should become on the left, and how it does so on the right."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.imaging.files import write_video
from unrender.training.method import Model

Frame = Float[Tensor, "height width 3"]


class ProgressFilm(Generic[Model]):
    """Frames of a model while it learns: give `watch` to the loop."""

    def __init__(self, truth: Frame, draw: Callable[[Model], Frame], most: int = 60):
        self.truth, self.draw, self.most = truth, draw, most
        self.frames: list[Frame] = []
        self._calls, self._every = 0, 1

    def watch(self, model: Model, _seconds: float) -> None:
        """Keep the model's image, but never more than `most`: each second one goes then."""
        if self._calls % self._every == 0:
            with torch.no_grad():
                self.frames.append(torch.cat([self.truth, self.draw(model)], dim=1).cpu())
            if len(self.frames) > self.most:
                self.frames = self.frames[::2]
                self._every *= 2
        self._calls += 1

    def write(
        self, path: Path, last: Float[Tensor, "frames height width 3"], fps: int = 12
    ) -> None:
        """The fit, and then `last`, which is such frames of the outcome."""
        write_video(
            path, torch.cat([torch.stack(self.frames), last]) if self.frames else last, fps
        )

"""Video of a fit: the ground truth on the left, the model during training on the right."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.imaging.video import write_video
from unrender.training.method import Model

Frame = Float[Tensor, "height width 3"]


class ProgressVideo(Generic[Model]):
    """Collects frames of a model during training: pass `watch` to the training loop."""

    def __init__(self, truth: Frame, draw: Callable[[Model], Frame], max_frames: int = 60):
        self.truth, self.draw, self.max_frames = truth, draw, max_frames
        self.frames: list[Frame] = []
        self._calls, self._every = 0, 1

    def watch(self, model: Model, _seconds: float) -> None:
        """Append a frame; beyond `max_frames`, drop every second one, and record less often."""
        if self._calls % self._every == 0:
            with torch.no_grad():
                self.frames.append(torch.cat([self.truth, self.draw(model)], dim=1).cpu())
            if len(self.frames) > self.max_frames:
                self.frames = self.frames[::2]
                self._every *= 2
        self._calls += 1

    def write(
        self, path: Path, last: Float[Tensor, "frames height width 3"], fps: int = 12
    ) -> None:
        """Write the video: the recorded frames, followed by the frames `last` of the result."""
        write_video(
            path, torch.cat([torch.stack(self.frames), last]) if self.frames else last, fps
        )

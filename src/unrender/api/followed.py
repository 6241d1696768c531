"""A fitted model that tells how far its evaluation is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer, Rendering
from unrender.training.method import Fitted


@dataclass(frozen=True)
class Followed(Fitted[Any]):
    """A fitted model that tells how many images it has rendered, of how many."""

    tell: Callable[[int, int], None]
    total: int

    @property
    def renderer(self) -> Renderer:
        render, done = super().renderer, 0

        def followed(cameras: Cameras) -> Rendering:
            nonlocal done
            rendering = render(cameras)
            done += len(cameras)
            if done <= self.total:
                self.tell(done, self.total)
            return rendering

        return followed

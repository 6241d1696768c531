"""What a flow makes: tensors that stand for images, and the way there and back.

The flow's end x1 is an image in a *data space*: its pixels, or the latents of an autoencoder
(`unrender.flows.latents`). A *cell* is one place of x1's square, a pixel or several.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from unrender.rendering.renderer import Images

Codes = Float[Tensor, "images channels rows columns"]
"""Images in a data space: one number of each channel for every cell, of order one."""


class DataSpace(ABC):
    """Square images as tensors of order one, channels first."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Numbers of a cell."""

    @property
    @abstractmethod
    def scale(self) -> int:
        """Image pixels a side of a cell."""

    @abstractmethod
    def encode(self, images: Images) -> Codes:
        """Without gradients. Sides must be multiples of `scale`."""

    @abstractmethod
    def decode(self, codes: Codes) -> Images:
        """Values outside of [0, 1] are clamped. Gradients follow codes that require them."""


@dataclass(frozen=True)
class Pixels(DataSpace):
    """Premultiplied RGBA scaled to [−1, 1]."""

    @property
    def channels(self) -> int:
        return 4

    @property
    def scale(self) -> int:
        return 1

    def encode(self, images: Images) -> Codes:
        return 2 * images.movedim(-1, 1) - 1

    def decode(self, codes: Codes) -> Images:
        return ((codes + 1) / 2).clamp(0, 1).movedim(1, -1)

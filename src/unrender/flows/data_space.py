"""Data spaces: the tensors in which a flow represents images, with encoding and decoding.

The flow's end x1 is an image in a *data space*: its pixels, or the latents of an autoencoder
(`unrender.flows.latents`). A *cell* is one spatial position of x1, one pixel or several.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.rendering.renderer import Images

Codes = Float[Tensor, "images channels rows columns"]
"""Images in a data space, with values of order one; rows and columns are cells."""


class DataSpace(ABC):
    """A representation of square images as tensors of order one, channels first."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of a cell."""

    @property
    @abstractmethod
    def scale(self) -> int:
        """Side of a cell, in image pixels."""

    @abstractmethod
    def encode(self, images: Images) -> Codes:
        """Encode images, without gradients; their sides must be multiples of `scale`."""

    @abstractmethod
    def decode(self, codes: Codes) -> Images:
        """Decode images, clamped to [0, 1], with gradients for codes that require them."""


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


@dataclass(frozen=True)
class OverWhite(Pixels):
    """RGB over white and alpha, scaled to [−1, 1]: opaque images are plain RGB."""

    def encode(self, images: Images) -> Codes:
        color = images[..., :3] + 1 - images[..., 3:]
        return 2 * torch.cat([color, images[..., 3:]], dim=-1).movedim(-1, 1) - 1

    def decode(self, codes: Codes) -> Images:
        unit = ((codes + 1) / 2).clamp(0, 1).movedim(1, -1)
        alpha = unit[..., 3:]
        # Premultiplied colors are at most alpha, whatever the flow predicts.
        return torch.cat([(unit[..., :3] - 1 + alpha).clamp_min(0).minimum(alpha), alpha], -1)

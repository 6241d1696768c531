"""One photograph as what a field over the plane is fitted to."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.imaging.color import premultiply, unpremultiply
from unrender.imaging.files import read_image


@dataclass(frozen=True)
class Picture:
    """Pixels over [0, 1]²: x to the right, y down, whatever the picture's shape."""

    name: str
    pixels: Float[Tensor, "height width channels"]
    """Display-referred in [0, 1]: RGB, or premultiplied RGBA."""

    def __post_init__(self) -> None:
        height, width, channels = self.pixels.shape
        assert channels in (3, 4), f"a picture has 3 or 4 channels, not {channels}"
        if min(height, width) < 2:
            raise InputError(
                f"{self.name}: has {width}×{height} pixels: give a picture of at least 2×2"
            )

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def colors(self) -> Float[Tensor, "pixels channels"]:
        """Of all pixels, row by row."""
        return self.pixels.flatten(0, 1)

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "sampled 2"], Float[Tensor, "sampled channels"]]:
        """The centres of random pixels, which may come twice, and their colours.

        `generator` is on the CPU, as everywhere in training.
        """
        chosen = torch.randint(self.height * self.width, (count,), generator=generator)
        chosen = chosen.to(self.pixels.device)
        return pixel_centers(chosen, self.height, self.width), self.colors[chosen]

    def to(self, device: torch.device) -> "Picture":
        return replace(self, pixels=self.pixels.to(device))


def pixel_centers(
    index: Int[Tensor, "pixels"], height: int, width: int
) -> Float[Tensor, "pixels 2"]:
    """Where in [0, 1]² the pixels lie that come at these places row by row."""
    x, y = (index % width + 0.5) / width, (index // width + 0.5) / height
    return torch.stack([x, y], dim=1)


def read_picture(path: Path) -> Picture:
    """A photograph, upright, as its camera noted it.

    Grey becomes three equal channels. 16 bits of grey are read in full, of colours with 16 bits
    the upper eight. Alpha becomes a fourth channel, colours premultiplied, unless it is 1
    everywhere. InputError for a file that is missing, no image or damaged, and for pictures
    narrower or lower than two pixels.
    """
    pixels = read_image(path, upright=True)
    if pixels.shape[2] == 4:
        pixels = pixels[..., :3] if bool((pixels[..., 3] == 1).all()) else premultiply(pixels)
    return Picture(str(path), pixels.contiguous())


def straight(
    pixels: Float[Tensor, "height width channels"],
) -> Float[Tensor, "height width channels"]:
    """As files hold it: in [0, 1], and RGBA with colours as without their transparency."""
    pixels = pixels.clamp(0, 1)
    return unpremultiply(pixels).clamp(0, 1) if pixels.shape[2] == 4 else pixels


def over_white(
    pixels: Float[Tensor, "*batch channels"],
) -> Float[Tensor, "*batch 3"]:
    """To look at: RGB, with white behind what is transparent."""
    if pixels.shape[-1] == 3:
        return pixels
    return pixels[..., :3] + 1 - pixels[..., 3:]

"""A single image as the target of a 2D field."""

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
    """An image over [0, 1]², x to the right and y down, whatever its aspect ratio."""

    name: str
    pixels: Float[Tensor, "height width channels"]
    """Display-referred in [0, 1]: RGB, or premultiplied RGBA."""

    def __post_init__(self) -> None:
        height, width, channels = self.pixels.shape
        assert channels in (3, 4), f"an image has 3 or 4 channels, not {channels}"
        if min(height, width) < 2:
            raise InputError(
                f"{self.name}: has {width}×{height} pixels: give an image of at least 2×2"
            )

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def colors(self) -> Float[Tensor, "pixels channels"]:
        """The colors of all pixels, row by row."""
        return self.pixels.flatten(0, 1)

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "sampled 2"], Float[Tensor, "sampled channels"]]:
        """Centers and colors of pixels sampled uniformly with replacement.

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
    """Centers in [0, 1]² of the pixels with these row-major indices."""
    x, y = (index % width + 0.5) / width, (index // width + 0.5) / height
    return torch.stack([x, y], dim=1)


def read_picture(path: Path) -> Picture:
    """Read an image, rotated as its EXIF orientation says.

    Grayscale images get three equal channels. 16-bit grayscale is read in full precision,
    16-bit color is reduced to 8 bits. An image with alpha becomes premultiplied RGBA, unless
    alpha is 1 everywhere. Raises InputError if the file is missing, damaged or not an image, or
    if a side is shorter than two pixels.
    """
    pixels = read_image(path, upright=True)
    if pixels.shape[2] == 4:
        pixels = pixels[..., :3] if bool((pixels[..., 3] == 1).all()) else premultiply(pixels)
    return Picture(str(path), pixels.contiguous())


def straight(
    pixels: Float[Tensor, "height width channels"],
) -> Float[Tensor, "height width channels"]:
    """Pixels as stored in files: clamped to [0, 1], with straight alpha."""
    pixels = pixels.clamp(0, 1)
    return unpremultiply(pixels).clamp(0, 1) if pixels.shape[2] == 4 else pixels


def over_white(
    pixels: Float[Tensor, "*batch channels"],
) -> Float[Tensor, "*batch 3"]:
    """RGB, with a white background behind transparent pixels."""
    if pixels.shape[-1] == 3:
        return pixels
    return pixels[..., :3] + 1 - pixels[..., 3:]

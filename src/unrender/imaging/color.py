"""Alpha compositing (Porter and Duff 1984), sRGB conversion, and colors by name.

Display-referred colors are encoded in sRGB (IEC 61966-2-1); linear colors are proportional to
radiance.
"""

import difflib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError

Color = str | Sequence[float | int] | Tensor
"""A color's name, three display-referred values in [0, 1], or a tensor [..., 3]."""
COLORS = {
    "white": (255, 255, 255),
    "lightgray": (211, 211, 211),
    "silver": (192, 192, 192),
    "gray": (128, 128, 128),
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "lime": (0, 255, 0),
    "cyan": (0, 255, 255),
    "skyblue": (135, 206, 235),
    "blue": (0, 0, 255),
    "navy": (0, 0, 128),
    "purple": (128, 0, 128),
    "magenta": (255, 0, 255),
    "pink": (255, 192, 203),
    "brown": (165, 42, 42),
}
"""8-bit sRGB values of some CSS color names."""

MATTE_TOLERANCE = 2.5 / 255
"""Maximum difference per channel from the background for a pixel to count as background."""


def premultiply(image: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Convert straight RGBA to premultiplied RGBA."""
    alpha = image[..., 3:]
    return torch.cat([image[..., :3] * alpha, alpha], dim=-1)


def unpremultiply(image: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The inverse of `premultiply`; color is 0 where alpha is 0."""
    alpha = image[..., 3:]
    color = torch.where(alpha > 0, image[..., :3] / alpha.clamp_min(1e-12), 0.0)
    return torch.cat([color, alpha], dim=-1)


def over(
    image: Float[Tensor, "*batch 4"], background: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Composite premultiplied RGBA over an opaque background."""
    return image[..., :3] + (1 - image[..., 3:]) * background


def matte(
    image: Float[Tensor, "*batch 3"],
    background: Float[Tensor, "3"],
    tolerance: float = MATTE_TOLERANCE,
) -> Float[Tensor, "*batch 4"]:
    """Premultiplied RGBA of RGB on a constant background, by color keying.

    Pixels are background where no channel differs by more than `tolerance`. Alpha is 0 or 1, so
    silhouettes are aliased, and parts of an object with the background's color become holes.
    """
    differs = (image - background).abs().amax(-1, keepdim=True) > tolerance
    alpha = differs.to(image.dtype)
    return torch.cat([image * alpha, alpha], dim=-1)


def matte_around(
    images: Float[Tensor, "images height width 3"],
    background: Float[Tensor, "3"],
    tolerance: float = MATTE_TOLERANCE,
) -> Float[Tensor, "images height width 4"]:
    """`matte`, but of what is connected to the image's border.

    So parts of an object that have the background's color stay, unless they touch it.
    """
    from skimage.measure import label  # noqa: PLC0415 - slow to import

    found = matte(images, background, tolerance)
    for image in found:
        clear = (image[..., 3] == 0).cpu().numpy()
        # Around the image lies more of the background, which joins what touches the border.
        parts = np.asarray(label(np.pad(clear, 1, constant_values=True), connectivity=1))
        around = torch.as_tensor(parts[1:-1, 1:-1] == parts[0, 0], device=image.device)
        image[..., 3] = (~around).to(image)
    return torch.cat([images * found[..., 3:], found[..., 3:]], dim=-1)


def linear_from_display(color: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Decode sRGB to linear color; both are in [0, 1]."""
    return torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def display_from_linear(color: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Encode linear color to sRGB; the inverse of `linear_from_display`."""
    # The clamp avoids the infinite slope of the power at 0, where the other branch is used.
    power = 1.055 * color.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(color <= 0.0031308, color * 12.92, power)


def as_color(color: Color, like: Tensor | None = None) -> Float[Tensor, "*batch 3"]:
    """Display-referred RGB from a color's name, three numbers in [0, 1], or a tensor.

    A tensor [..., 3] keeps its values and type. The result is on the device of `like`, and a
    name or numbers get its type too. Raises InputError if the name is unknown or the numbers
    are not a color.

    >>> as_color("red")
    tensor([1., 0., 0.])
    >>> as_color((0.2, 0.4, 1))
    tensor([0.2000, 0.4000, 1.0000])
    """
    if isinstance(color, Tensor):
        if not color.ndim or color.shape[-1] != 3:
            raise InputError(f"color: has the shape {list(color.shape)}; give [..., 3]")
        return color if like is None else color.to(like.device)
    if isinstance(color, str):
        name = color.strip().lower().replace("grey", "gray")
        if name not in COLORS:
            close = difflib.get_close_matches(name, COLORS, n=3) or list(COLORS)
            raise InputError(
                f"color {color!r}: unknown; give {', '.join(close)}, or three numbers in [0, 1]"
            )
        values = [value / 255 for value in COLORS[name]]
    else:
        values = [float(value) for value in color]
        if len(values) != 3 or not all(0 <= value <= 1 for value in values):
            raise InputError(f"color {tuple(values)}: give three numbers in [0, 1]")
    found = torch.tensor(values)
    return found if like is None else found.to(like)

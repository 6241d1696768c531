"""Alpha: the share of a pixel that is covered (Porter and Duff 1984); and the display's curve.

Display-referred colours are sRGB's (IEC 61966-2-1), linear ones proportional to light.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MATTE_TOLERANCE = 2.5 / 255
"""Colours of eight bits this near to the background count as background."""


def premultiply(image: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Straight RGBA to colour times alpha, and alpha."""
    alpha = image[..., 3:]
    return torch.cat([image[..., :3] * alpha, alpha], dim=-1)


def unpremultiply(image: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Undo `premultiply`; colour is 0 where alpha is 0."""
    alpha = image[..., 3:]
    color = torch.where(alpha > 0, image[..., :3] / alpha.clamp_min(1e-12), 0.0)
    return torch.cat([color, alpha], dim=-1)


def over(
    image: Float[Tensor, "*batch 4"], background: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Premultiplied RGBA laid over an opaque background."""
    return image[..., :3] + (1 - image[..., 3:]) * background


def matte(
    image: Float[Tensor, "*batch 3"], background: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 4"]:
    """Premultiplied RGBA of RGB on a constant background: what has its colour is taken for it.

    Alpha is 0 or 1, so the object's rim is hard, and parts of just that colour become holes.
    """
    differs = (image - background).abs().amax(-1, keepdim=True) > MATTE_TOLERANCE
    alpha = differs.to(image.dtype)
    return torch.cat([image * alpha, alpha], dim=-1)


def linear_from_display(color: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Both in [0, 1]."""
    return torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def display_from_linear(color: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Undo `linear_from_display`."""
    # The power's slope is infinite at 0, where the other branch is taken.
    power = 1.055 * color.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(color <= 0.0031308, color * 12.92, power)

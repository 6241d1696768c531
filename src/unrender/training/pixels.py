"""Losses on rendered pixels and on whole images."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from unrender.evaluation.images import SSIM_WINDOW
from unrender.rendering.renderer import Rendering

SSIM_SIGMA = 1.5
STRIP = 64
"""Pixels blurred in one matrix product: in a longer strip the window is a smaller part."""
K1, K2 = 0.01**2, 0.03**2
"""SSIM's constants for images in [0, 1], squared."""


def pixel_errors(
    rendering: Rendering,
    rgba: Float[Tensor, "pixels 4"],
    background: Float[Tensor, "3"] | None,
) -> Float[Tensor, "pixels"]:
    """Mean squared error of each pixel's color over the background of the views.

    For images with alpha (None), it is averaged over all background colors: over a constant
    one, a wrong opacity could go unnoticed.
    """
    color = rendering.color - rgba[:, :3]
    opacity = (rendering.opacity - rgba[:, 3])[:, None]
    if background is not None:
        return (color - opacity * background).square().mean(1)
    return ((color - opacity / 2).square() + opacity.square() / 12).mean(1)


def own_colors(rgba: Float[Tensor, "pixels 4"]) -> Float[Tensor, "pixels 3"]:
    """Colors without any background, of premultiplied pixels; black where alpha is 0."""
    return (rgba[:, :3] / rgba[:, 3:].clamp_min(1e-3)).clamp_max(1)


def entropy(opacity: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Entropy, in nats, of being hit or not: 0 for opacities of 0 and 1."""
    share = opacity.clamp(1e-6, 1 - 1e-6)
    return -(share * share.log() + (1 - share) * (1 - share).log())


def dissimilarity(
    image: Float[Tensor, "height width channels"], truth: Float[Tensor, "height width channels"]
) -> Float[Tensor, ""]:
    """1 − SSIM, differentiable; the variant is that of evaluation/images.py.

    A border of half a window is left out; images smaller than the window have no SSIM loss.
    """
    if min(image.shape[:2]) < SSIM_WINDOW:
        return image.new_zeros(())
    a, b = image.permute(2, 0, 1), truth.permute(2, 0, 1)
    mean_a, square_a, product = blurred(torch.stack([a, a * a, a * b]))
    mean_b, square_b = blurred(torch.stack([b, b * b]))
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + K1) / (mean_a.square() + mean_b.square() + K1)
    return 1 - (luminance * (2 * covariance + K2) / (variances + K2)).mean()


def blurred(images: Float[Tensor, "*n height width"]) -> Float[Tensor, "*n rows columns"]:
    """Means under the SSIM window wherever it fits: half a window less on each side."""
    half = SSIM_WINDOW // 2
    at = torch.arange(SSIM_WINDOW, device=images.device) - half
    weight = (-(at / SSIM_SIGMA).square() / 2).exp()
    return _Blur.apply(images, weight / weight.sum())  # pyright: ignore[reportReturnType]


class _Blur(torch.autograd.Function):
    """A blur: its backward pass is the same blur of the zero-padded gradient."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return _blur(_blur(images, weight).mT, weight).mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        border = len(weight) - 1
        wide = pad(gradients[0], (border, border, border, border))
        return _blur(_blur(wide, weight).mT, weight).mT, None


def _blur(images: Tensor, weight: Tensor) -> Tensor:
    """Blur along the last axis, as products of strips with a banded matrix.

    Matrix products are much faster on the CPU than a convolution of one channel.
    """
    window, width = len(weight), images.shape[-1]
    outputs = width - window + 1
    strip = min(STRIP, outputs)
    strips = -(-outputs // strip)
    images = pad(images, (0, strips * strip + window - 1 - width))
    place = torch.arange(strip + window - 1, device=weight.device)
    offset = place[:, None] - place[:strip]
    inside = (offset >= 0) & (offset < window)
    band = torch.where(inside, weight[offset.clamp(0, window - 1)], 0.0)
    # One product of two matrices instead of one for each row of an image.
    pieces = images.unfold(-1, strip + window - 1, strip)
    found = pieces.reshape(-1, strip + window - 1) @ band
    return found.view(*images.shape[:-1], -1)[..., :outputs]

"""Soft rasterization: faces that fade out beyond their outlines, blended by depth.

Liu et al., "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning" (2019),
https://arxiv.org/abs/1904.01786. Face j covers a pixel by D = sigmoid(±d² / σ), where d is the
distance of the pixel's center to the face's outline, positive inside (eq. 1). The coverage of
all faces is 1 − Π (1 − D) (eq. 5), and the color is Σ w C (eq. 2) with w ∝ D exp(z / γ), where
z is inverse depth, and exp(ε / γ) for the background (eq. 3).

Fragments must be rasterized with blur: with σ in squared pixels, a blur of 3 √σ drops coverages
below 0.0002. They also need a layer for each face that near to a pixel, front and back: with
fewer, the image jumps where one face replaces another in a layer, which has no gradient.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from unrender.errors import InputError
from unrender.rendering.mesh.raster import Fragments

BACKGROUND = 1e-3
"""ε of eq. 3."""


def soft_mask(fragments: Fragments, sigma: float) -> Float[Tensor, "images height width"]:
    """Soft coverage of each pixel. Raises InputError for fragments without blur."""
    images, height, width, _ = fragments.pix_to_face.shape
    # log(1 − sigmoid(x)) = logsigmoid(−x)
    missed = logsigmoid(-_closeness(fragments, sigma))
    total = missed.new_zeros(images * height * width).index_add(0, fragments.pixel, missed)
    return -torch.expm1(total).view(images, height, width)


def soft_color(
    fragments: Fragments,
    colors: Float[Tensor, "hits 3"],
    sigma: float,
    gamma: float,
    nearest: float,
) -> tuple[Float[Tensor, "images height width 3"], Float[Tensor, "images height width"]]:
    """Blended colors over black, and the total weight of the faces vs. the background.

    z is `nearest` / depth, at most 1. With smaller `gamma`, near faces occlude those behind
    them more. Raises InputError for fragments without blur.
    """
    images, height, width, _ = fragments.pix_to_face.shape
    pixel = fragments.pixel
    exponent = (nearest / fragments.depth).clamp_max(1) / gamma
    # Subtract each pixel's largest exponent, as in a softmax.
    top = exponent.new_full((images * height * width,), BACKGROUND / gamma)
    top = top.scatter_reduce(0, pixel, exponent.detach(), "amax")
    weight = _closeness(fragments, sigma).sigmoid() * (exponent - top[pixel]).exp()
    numbers = torch.cat([colors, torch.ones_like(weight)[:, None]], dim=1) * weight[:, None]
    total = numbers.new_zeros(len(top), 4).index_add(0, pixel, numbers)
    mixed = total / (total[:, 3:] + (BACKGROUND / gamma - top).exp()[:, None])
    mixed = mixed.view(images, height, width, 4)
    return mixed[..., :3], mixed[..., 3]


def _closeness(fragments: Fragments, sigma: float) -> Float[Tensor, "hits"]:
    if fragments.signed_dist_sq is None:
        raise InputError("the fragments have no soft edges: rasterize with blur > 0")
    return fragments.signed_dist_sq / sigma

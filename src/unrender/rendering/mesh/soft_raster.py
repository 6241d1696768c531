"""Soft silhouettes: faces that fade out beyond their outlines, and are mixed by depth.

Liu et al., "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning" (2019),
https://arxiv.org/abs/1904.01786. Face j covers a pixel by D = sigmoid(±d² / σ), where d is the
distance of the pixel's centre from the face's outline, with + inside (eq. 1). Together they
cover it by 1 − Π (1 − D) (eq. 5), and its colour is Σ w C (eq. 2) with w ∝ D exp(z / γ), where
z is the inverse depth, and the background has exp(ε / γ) (eq. 3).

Fragments have to be blurred: with σ in squared pixels, a blur of 3 √σ leaves out what covers
less than 0.0002. And they need layers for all the faces that near to a pixel, front and back:
with fewer, the image jumps where one face takes another's layer, which no gradient tells.
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
    """How much of each pixel the mesh covers. InputError if the fragments are not blurred."""
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
    """The mixed colours over black, and the share that is not background.

    Depths count as `nearest` / depth, at most 1. Smaller `gamma` lets nearer faces hide what
    is behind them more. InputError if the fragments are not blurred.
    """
    images, height, width, _ = fragments.pix_to_face.shape
    pixel = fragments.pixel
    exponent = (nearest / fragments.depth).clamp_max(1) / gamma
    # All exponents of a pixel may be lowered alike: the largest is 0 then.
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
        raise InputError("fragments without blur have no soft edges: rasterize with blur > 0")
    return fragments.signed_dist_sq / sigma

"""Splatting: an image of Gaussians on the image plane, the nearest in front.

Zwicker et al., "EWA splatting" (2002); Kerbl et al., "3D Gaussian Splatting for Real-Time
Radiance Field Rendering" (2023), https://arxiv.org/abs/2308.04079, eq. 2 and 3.

A Gaussian covers a pixel by α = opacity exp(−½ dᵀ C d), where d leads from its mean to the
pixel's centre and C is its conic, the inverse of its covariance. What is below MIN_ALPHA counts
for nothing, and no Gaussian covers more than MAX_ALPHA.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.999
STOP = 1e-4
"""A pixel that is reached by less of the light has all it needs."""
NUMBERS = 10
"""Of a Gaussian, as backends take it: mean 2, conic 3, colour 3, opacity, depth."""


@dataclass(frozen=True)
class Splatted:
    """An image of splats."""

    color: Float[Tensor, "height width 3"]
    """Premultiplied."""
    opacity: Float[Tensor, "height width"]
    depth: Float[Tensor, "height width"]
    """Sum of weight × depth: divide by opacity for the mean."""


def splat(
    means: Float[Tensor, "splats 2"],
    conics: Float[Tensor, "splats 3"],
    colors: Float[Tensor, "splats 3"],
    opacities: Float[Tensor, "splats"],
    depths: Float[Tensor, "splats"],
    width: int,
    height: int,
    backend: Backend = "auto",
) -> Splatted:
    """Blend Gaussians from front to back, in the order of their depths.

    Means are in pixels, a pixel's centre at +0.5; conics are (a, b, c) of the positive definite
    [[a, b], [b, c]], per squared pixel; opacities are in [0, 1]. Differentiable in all five
    (but for the order).
    """
    splats = torch.cat([means, conics, colors, opacities[:, None], depths[:, None]], dim=1)
    # Red, green, blue, opacity and depth.
    image = implementation(__name__, backend, means).splat(splats, width, height)
    return Splatted(image[:3].permute(1, 2, 0), image[3], image[4])

"""Splatting: alpha blending of 2D Gaussians in the image plane, from front to back.

Zwicker et al., "EWA splatting" (2002); Kerbl et al., "3D Gaussian Splatting for Real-Time
Radiance Field Rendering" (2023), https://arxiv.org/abs/2308.04079, eq. 2 and 3.

A Gaussian covers a pixel with α = opacity exp(−½ dᵀ C d), where d is the offset of the pixel's
center from its mean and C is its conic, the inverse covariance. α below MIN_ALPHA is treated as
0, and α is at most MAX_ALPHA.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run

MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.999
MIN_TRANSMITTANCE = 1e-4
"""Blending of a pixel ends when its transmittance is below this."""
SPLAT_SIZE = 10
"""Values per Gaussian in the backends: mean (2), conic (3), color (3), opacity, depth."""


@dataclass(frozen=True)
class SplatImage:
    """A rendered image of splats."""

    color: Float[Tensor, "height width 3"]
    """Premultiplied color."""
    opacity: Float[Tensor, "height width"]
    depth: Float[Tensor, "height width"]
    """Sum of weight × depth; divide by opacity for the mean depth."""


def splat(
    means: Float[Tensor, "splats 2"],
    conics: Float[Tensor, "splats 3"],
    colors: Float[Tensor, "splats 3"],
    opacities: Float[Tensor, "splats"],
    depths: Float[Tensor, "splats"],
    width: int,
    height: int,
    backend: Backend = "auto",
) -> SplatImage:
    """Blend Gaussians from front to back, in the order of their depths.

    Means are in pixels, with pixel centers at +0.5; conics are (a, b, c) of the positive
    definite [[a, b], [b, c]], per squared pixel; opacities are in [0, 1]. Differentiable in all
    five, except for the order.
    """
    splats = torch.cat([means, conics, colors, opacities[:, None], depths[:, None]], dim=1)
    # Channels: red, green, blue, opacity and depth.
    image = run(implementation(__name__, backend, means), "splat", splats, width, height)
    return SplatImage(image[:3].permute(1, 2, 0), image[3], image[4])

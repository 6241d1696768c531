"""Gaussians in space as a camera sees them: ellipses in the image.

Zwicker et al., "EWA Splatting" (2002), as in Kerbl et al., "3D Gaussian Splatting" (2023),
sec. 4.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

BLUR = 0.3
"""Variance in squared pixels that is added to every splat: none falls between pixels."""
NEAREST = 0.01
"""Gaussians nearer than this to the camera's plane are not seen, in scene units."""
MARGIN = 1.3
"""Beyond the image's edge by this factor, the projection's slope is held (Kerbl et al.'s)."""
LEAST_SHARE = 1e-12
"""Of a splat's area that the blur leaves, below which it is held."""


@dataclass(frozen=True)
class Footprints:
    """Gaussians as a camera sees them."""

    means: Float[Tensor, "splats 2"]
    """In pixels."""
    conics: Float[Tensor, "splats 3"]
    """(a, b, c) of the inverse covariance [[a, b], [b, c]]."""
    distances: Float[Tensor, "splats"]
    """From the camera's centre, in scene units."""
    shrink: Float[Tensor, "splats"]
    """√(|Σ| / |Σ + BLUR I|): what the added blur takes of a splat's weight (Yu et al.,
    "Mip-Splatting" (2024), eq. 8)."""
    visible: Bool[Tensor, "splats"]
    """In front of the camera."""


def footprints(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
    backend: Backend = "auto",
) -> Footprints:
    """Each Gaussian's image if the projection was linear about its mean.

    J W Σ Wᵀ Jᵀ for the camera's rotation W and the projection's derivative J (Kerbl et al.,
    eq. 5), and Σ = R S Sᵀ Rᵀ of a quaternion (w, x, y, z) of any length and the logarithms of
    the scales. Differentiable in all of the numbers, the intrinsics apart.
    """
    if backend == "auto" and torch.is_grad_enabled() and world_from_camera.requires_grad:
        backend = "reference"
    kernel = implementation(__name__, backend, means)
    numbers = kernel.footprints(
        means, log_scales, quaternions, world_from_camera, intrinsics, width, height
    )
    visible = (means - world_from_camera[:, 3]) @ world_from_camera[:, 2] > NEAREST
    return Footprints(
        numbers[:, :2], numbers[:, 2:5], numbers[:, 5], numbers[:, 6], visible.detach()
    )

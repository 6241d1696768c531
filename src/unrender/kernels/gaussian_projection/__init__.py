"""Projection of 3D Gaussians to 2D Gaussians in the image.

Zwicker et al., "EWA Splatting" (2002), as in Kerbl et al., "3D Gaussian Splatting" (2023),
sec. 4.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

BLUR = 0.3
"""Variance in squared pixels added to every splat, so that none falls between pixels."""
NEAR = 0.01
"""Gaussians whose depth is less than this, in scene units, are not visible."""
MARGIN = 0.15
"""Distance beyond the image's edges to which means are clamped in the Jacobian, as a fraction
of its size."""
_Number = TypeVar("_Number", float, Tensor)
MIN_RATIO = 1e-12
"""Lower bound of |Σ| / |Σ + BLUR I| in the compensation."""


@dataclass(frozen=True)
class ProjectedGaussians:
    """Gaussians in the image plane of a camera."""

    means2d: Float[Tensor, "splats 2"]
    """Means in pixels."""
    conics: Float[Tensor, "splats 3"]
    """(a, b, c) of the inverse covariance [[a, b], [b, c]]."""
    distances: Float[Tensor, "splats"]
    """Distance of the mean from the camera's center, in scene units."""
    compensations: Float[Tensor, "splats"]
    """√(|Σ| / |Σ + BLUR I|): factor of the opacity that compensates for the added blur (Yu et
    al., "Mip-Splatting" (2024), eq. 8)."""
    visible: Bool[Tensor, "splats"]
    """Whether the Gaussian is in front of the camera."""


def ratio_limits(focal: _Number, center: _Number, size: int) -> tuple[_Number, _Number]:
    """The least and the largest x/z of the Jacobian, for an image `size` pixels wide.

    They are those of the image and a margin about it, wherever the principal point is. `focal`
    and `center` are in pixels; likewise for y/z.
    """
    return (-MARGIN * size - center) / focal, ((1 + MARGIN) * size - center) / focal


def project_gaussians(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
    backend: Backend = "auto",
) -> ProjectedGaussians:
    """Project each Gaussian, with the projection linearized about its mean.

    The 2D covariance is J W Σ Wᵀ Jᵀ for the camera's rotation W and the Jacobian J of the
    projection (Kerbl et al., eq. 5), with Σ = R S Sᵀ Rᵀ from a quaternion (w, x, y, z) of any
    length and the logarithms of the scales. J is that at the mean or, for a mean farther than
    MARGIN from the image, at the nearest point within: J grows without bounds far outside.
    Differentiable in means, scales, quaternions and the pose, but not in the intrinsics.
    """
    if backend == "auto" and torch.is_grad_enabled() and world_from_camera.requires_grad:
        backend = "reference"
    kernel = implementation(__name__, backend, means)
    projected = kernel.project_gaussians(
        means, log_scales, quaternions, world_from_camera, intrinsics, width, height
    )
    visible = (means - world_from_camera[:, 3]) @ world_from_camera[:, 2] > NEAR
    return ProjectedGaussians(
        projected[:, :2], projected[:, 2:5], projected[:, 5], projected[:, 6], visible.detach()
    )

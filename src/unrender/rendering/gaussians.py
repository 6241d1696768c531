"""Rendering of 3D Gaussians by rasterization, with view-dependent colors and antialiasing.

Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023; Yu et al.,
"Mip-Splatting", 2024, for the opacity of Gaussians that are smaller than pixels.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.kernels.gaussian_projection import project_gaussians
from unrender.kernels.spherical_harmonics import harmonic_colors
from unrender.kernels.splat import splat
from unrender.rendering.renderer import Renderer, Rendering
from unrender.shapes.splats import CONSTANT_HARMONIC, Splats


def draw_gaussians(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    opacity_logits: Float[Tensor, "splats"],
    colors: Float[Tensor, "splats 3"],
    harmonics: Float[Tensor, "splats coefficients 3"],
    cameras: Cameras,
    index: int,
    degree: int,
) -> Rendering:
    """One camera's image of Gaussians as in `Splats`, with harmonics up to `degree`.

    Differentiable in the Gaussians and the camera's pose.
    """
    pose, lens, size = (
        cameras.world_from_camera[index],
        cameras.intrinsics[index],
        cameras.sizes[index],
    )
    seen = project_gaussians(means, log_scales, quaternions, pose, lens, *size)
    color = 0.5 + CONSTANT_HARMONIC * colors
    if degree:
        towards = normalize(means - pose[:, 3], dim=1)
        color = color + harmonic_colors(towards, harmonics, degree)
    opacity = opacity_logits.sigmoid() * seen.compensations
    opacity = torch.where(seen.visible, opacity, 0.0)
    splats = seen.means2d, seen.conics, color.clamp_min(0), opacity, seen.distances
    out = splat(*splats, *size)
    return Rendering(out.color, out.opacity, out.depth / out.opacity.clamp_min(1e-6))


def splats_renderer(splats: Splats) -> Renderer:
    """Renderer of Gaussians; on their device, with results on the cameras'."""

    def render(cameras: Cameras) -> Rendering:
        moved = cameras.to(splats.means.device)
        images = [
            draw_gaussians(**vars(splats), cameras=moved, index=k, degree=splats.degree).to(
                cameras.device
            )
            for k in range(len(cameras))
        ]
        return Rendering(
            torch.stack([image.color for image in images]),
            torch.stack([image.opacity for image in images]),
            torch.stack([image.depth for image in images]),
        )

    return render

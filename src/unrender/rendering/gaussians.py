"""Rendering of 3D Gaussians by rasterization, with view-dependent colors and antialiasing.

Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023; Yu et al.,
"Mip-Splatting", 2024, for the opacity of Gaussians that are smaller than pixels.
"""

import torch
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.kernels.gaussian_projection import project_gaussians
from unrender.kernels.spherical_harmonics import harmonic_colors
from unrender.kernels.splat import splat
from unrender.rendering.renderer import Renderer, Rendering
from unrender.shapes.splats import CONSTANT_HARMONIC, Splats


def draw_gaussians(splats: Splats, cameras: Cameras, index: int, degree: int) -> Rendering:
    """One camera's image of Gaussians, with harmonics up to `degree`.

    Differentiable in the Gaussians and the camera's pose.
    """
    pose, lens, size = (
        cameras.world_from_camera[index],
        cameras.intrinsics[index],
        cameras.sizes[index],
    )
    shapes = splats.means, splats.log_scales, splats.quaternions
    seen = project_gaussians(*shapes, pose, lens, *size)
    color = 0.5 + CONSTANT_HARMONIC * splats.colors
    if degree:
        towards = normalize(splats.means - pose[:, 3], dim=1)
        color = color + harmonic_colors(towards, splats.harmonics, degree)
    opacity = splats.opacity_logits.sigmoid() * seen.compensations
    opacity = torch.where(seen.visible, opacity, 0.0)
    on_image = seen.means2d, seen.conics, color.clamp_min(0), opacity, seen.distances
    out = splat(*on_image, *size)
    return Rendering(out.color, out.opacity, out.depth / out.opacity.clamp_min(1e-6))


def splats_renderer(splats: Splats) -> Renderer:
    """Renderer of Gaussians; on their device, with results on the cameras'."""

    def render(cameras: Cameras) -> Rendering:
        moved = cameras.to(splats.means.device)
        images = [
            draw_gaussians(splats, moved, k, splats.degree).to(cameras.device)
            for k in range(len(cameras))
        ]
        return Rendering(
            torch.stack([image.color for image in images]),
            torch.stack([image.opacity for image in images]),
            torch.stack([image.depth for image in images]),
        )

    return render

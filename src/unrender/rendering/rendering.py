"""The narrow waist: what every renderer returns, and what every pose estimator returns."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras


@dataclass(frozen=True)
class Rendering:
    """What every renderer returns, for pixels of any layout."""

    color: Float[Tensor, "*batch 3"]
    """Display-referred RGB in [0, 1], premultiplied: over black, before any background."""
    opacity: Float[Tensor, "*batch"]
    """Share of the pixel that the scene covers, in [0, 1]."""
    depth: Float[Tensor, "*batch"]
    """Mean distance along the ray in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "*batch 3"] | None = None
    """Unit length, in the world frame."""

    def to(self, device: torch.device | str) -> "Rendering":
        normals = None if self.normals is None else self.normals.to(device)
        return Rendering(
            self.color.to(device), self.opacity.to(device), self.depth.to(device), normals
        )

    @property
    def rgba(self) -> Float[Tensor, "*batch 4"]:
        """Premultiplied."""
        return torch.cat([self.color, self.opacity[..., None]], dim=-1)

    def over(self, background: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
        return self.color + (1 - self.opacity[..., None]) * background


@dataclass(frozen=True)
class PoseEstimate:
    """Cameras recovered from images, each with the error it is expected to have."""

    cameras: Cameras
    rotation_error: Float[Tensor, "cameras"]
    """Expected geodesic error, in radians."""
    translation_error: Float[Tensor, "cameras"]
    """Expected error of the camera's centre, in scene units."""


Images = Float[Tensor, "images height width 4"]
"""RGBA, premultiplied, in [0, 1]."""

Renderer = Callable[[Cameras], Rendering]
PoseEstimator = Callable[[Images], PoseEstimate]


def supersampled(renderer: Renderer, factor: int) -> Renderer:
    """Render with `factor`² rays a pixel and average: the box filter that cameras have.

    One ray a pixel aliases when the scene has detail below the pixel.
    """

    def render(cameras: Cameras) -> Rendering:
        fine = renderer(cameras.resized(cameras.width * factor, cameras.height * factor))
        opacity = _box(fine.opacity[..., None], factor)[..., 0]
        # Depth is a mean over what was hit, so it averages with opacity as its weight.
        weighted = _box((fine.depth * fine.opacity)[..., None], factor)[..., 0]
        depth = torch.where(opacity > 0, weighted / opacity.clamp_min(1e-8), 0.0)
        return Rendering(_box(fine.color, factor), opacity, depth)

    return renderer if factor == 1 else render


def _box(
    image: Float[Tensor, "cameras fine_height fine_width channels"], factor: int
) -> Float[Tensor, "cameras height width channels"]:
    blocks = image.unflatten(2, (-1, factor)).unflatten(1, (-1, factor))
    return blocks.mean((2, 4))


def pixel_grid(width: int, height: int) -> Float[Tensor, "height width 2"]:
    """(x, y) of every pixel's centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1)


def camera_batches(cameras: Cameras, pixels_at_once: int) -> list[Cameras]:
    """The cameras in groups of at most that many pixels, but at least one camera."""
    group = max(1, math.floor(pixels_at_once / (cameras.width * cameras.height)))
    starts = range(0, len(cameras), group)
    return [cameras.select(slice(start, start + group)) for start in starts]

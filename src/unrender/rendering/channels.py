"""Images of a rendering's channels: color, depth, normals and opacity."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.rendering.renderer import Rendering

CHANNELS = ("color", "depth", "normals", "opacity")
SOLID = 0.5
"""Opacity below which depth and normals are not shown."""
COLORS = (
    (0.19, 0.07, 0.23),
    (0.27, 0.52, 0.98),
    (0.10, 0.89, 0.71),
    (0.64, 0.99, 0.24),
    (0.98, 0.73, 0.22),
    (0.89, 0.27, 0.04),
    (0.48, 0.02, 0.01),
)
"""Colormap from near to far: some colors of "Turbo" (Mikhailov 2019)."""


def as_images(
    rendering: Rendering,
    channel: str,
    background: Float[Tensor, "3"],
) -> Float[Tensor, "cameras height width 3"]:
    """Images in [0, 1] of one of CHANNELS, over a background.

    The colormap of depths spans the 1st to the 99th percentile over all images; normals n are
    shown as (n + 1) / 2 in the world frame.
    """
    if channel not in CHANNELS:
        raise InputError(f"{channel!r}: choose one of {', '.join(CHANNELS)}")
    if channel == "color":
        return rendering.over(background).clamp(0, 1)
    if channel == "opacity":
        return rendering.opacity[..., None].expand(*rendering.opacity.shape, 3).clamp(0, 1)
    solid = rendering.opacity > SOLID
    if channel == "depth":
        image = _colored(rendering.depth, solid)
    else:
        normals = rendering.normals
        if normals is None:
            if rendering.cameras is None:
                raise InputError(
                    "the rendering has no normals, and no cameras to derive them from"
                )
            normals = surface_normals(rendering, rendering.cameras)
        image = (normals + 1) / 2
    return torch.where(solid[..., None], image, background)


def _colored(
    depth: Float[Tensor, "*batch"], solid: Bool[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3"]:
    """Depths by interpolation in COLORS."""
    seen = depth[solid].sort().values
    if not len(seen):
        return torch.zeros(*depth.shape, 3)
    low, high = seen[len(seen) // 100], seen[-1 - len(seen) // 100]
    place = ((depth - low) / (high - low).clamp_min(1e-6)).clamp(0, 1) * (len(COLORS) - 1)
    below = place.long().clamp_max(len(COLORS) - 2)
    table, share = torch.tensor(COLORS), (place - below)[..., None]
    return (1 - share) * table[below] + share * table[below + 1]


def surface_normals(
    rendering: Rendering, cameras: Cameras
) -> Float[Tensor, "cameras height width 3"]:
    """Normals from the depths, by cross products of finite differences, toward the camera."""
    num, height, width = rendering.depth.shape
    index = torch.arange(num)[:, None, None].expand(num, height, width)
    rays = cameras.rays(index, pixel_grid(width, height).expand(num, height, width, 2))
    points = rays.origins + rendering.depth[..., None] * rays.directions

    def slope(dim: int) -> Tensor:
        return (points.roll(-1, dim) - points.roll(1, dim)) / 2

    normals = torch.linalg.cross(slope(1), slope(2))
    normals = torch.nn.functional.normalize(normals, dim=-1)
    facing = (normals * rays.directions).sum(-1, keepdim=True) < 0
    return torch.where(facing, normals, -normals)

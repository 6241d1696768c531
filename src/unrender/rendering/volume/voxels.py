"""Exact volume rendering of voxels, cubes of constant density.

The intersections of a ray with the planes between cells are known in closed form: sorted, they
are the edges of its bins, each of which lies in one cell. Nothing is missed between samples, so
that opaque cells look like the mesh of their faces.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from unrender.geometry.cameras import Cameras, Rays
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.compositing import depth_weights
from unrender.shapes.voxels import VoxelGrid

LEAST = 1e-9
"""Smallest absolute component of directions: parallel planes are hit very far away."""
BINS_AT_ONCE = 1 << 21


def voxels_renderer(
    density: VoxelGrid, color: Float[Tensor, "3"] | Float[Tensor, "x y z 3"]
) -> Renderer:
    """Renderer of densities per unit length, with one color or one for each cell.

    `density_from_occupancy` converts probabilities. Normals are those of the cell faces through
    which rays enter, weighted by the light from each cell. `render_voxels` is differentiable in
    densities and colors.
    """

    def render(cameras: Cameras) -> Rendering:
        at_once = max(1, BINS_AT_ONCE // (sum(density.values.shape) + 3))
        return render_in_tiles(
            cameras, at_once, lambda rays: render_voxels(density, color, rays)
        )

    return render


def render_voxels(
    density: VoxelGrid,
    color: Float[Tensor, "3"] | Float[Tensor, "x y z 3"],
    rays: Rays,
) -> Rendering:
    """Render rays; differentiable in densities and colors, but not in the rays."""
    origins, directions = rays.origins.detach(), rays.directions.detach()
    edges, axis = _edges(density, origins, directions)
    starts, lengths = edges[:, :-1], edges.diff(dim=1)
    middles = origins[:, None] + (starts + lengths / 2)[..., None] * directions[:, None]
    low = torch.tensor(density.low, device=origins.device)
    sizes = torch.tensor(density.values.shape, device=origins.device)
    cell = ((middles - low) / density.cell).long()
    x, y, z = torch.minimum(cell.clamp_min(0), sizes - 1).unbind(-1)
    depth = density.values[x, y, z] * lengths
    weights = depth_weights(depth)
    rgb = color if color.ndim == 1 else color[x, y, z]
    opacity = weights.sum(1)
    distance = (weights * (starts + lengths * _mean_place(depth))).sum(1)
    entered = one_hot(axis[:, :-1], 3) * -directions.sign()[:, None]
    normals = (weights.detach()[..., None] * entered).sum(1)
    return Rendering(
        (weights[..., None] * rgb).sum(1),
        opacity,
        distance / opacity.clamp_min(1e-6),
        normalize(normals, dim=-1),
    )


def _mean_place(depth: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Mean relative position in [0, 1] of the light from a bin of this optical depth.

    ∫ u e^(−depth u) du / ∫ e^(−depth u) du over [0, 1], which is ½ for thin bins.
    """
    thin = depth < 0.01
    x = torch.where(thin, 1.0, depth)
    return torch.where(thin, 0.5 - depth / 12, 1 / x - (-x).exp() / -torch.expm1(-x))


def _edges(
    grid: VoxelGrid, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, "rays edges"], Int[Tensor, "rays edges"]]:
    """Sorted distances at which rays pass from cell to cell, and the axis of the plane there.

    Planes beyond the box or behind the camera are clamped to its ends: their bins have length
    0.
    """
    slope = torch.where(
        directions < 0, directions.clamp_max(-LEAST), directions.clamp_min(LEAST)
    )
    planes = [
        (low + grid.cell * torch.arange(size + 1, device=origins.device) - origins[:, k, None])
        / slope[:, k, None]
        for k, (low, size) in enumerate(zip(grid.low, grid.values.shape, strict=True))
    ]
    enter = torch.stack([torch.minimum(t[:, 0], t[:, -1]) for t in planes], dim=1)
    leave = torch.stack([torch.maximum(t[:, 0], t[:, -1]) for t in planes], dim=1)
    nearest = enter.amax(1, keepdim=True).clamp_min(0)
    farthest = leave.amin(1, keepdim=True).maximum(nearest)
    t = torch.cat(planes, dim=1)
    counts = torch.tensor([size + 1 for size in grid.values.shape], device=t.device)
    number = torch.arange(3, device=t.device).repeat_interleave(counts).expand_as(t)
    # Planes in front of the box are clamped to the entry point, and get the axis of its face.
    number = torch.where(t <= nearest, enter.argmax(1, keepdim=True), number)
    t, order = t.maximum(nearest).minimum(farthest).sort(dim=1)
    return t, number.gather(1, order)

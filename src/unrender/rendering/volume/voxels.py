"""Images of voxels: exact volume rendering of cubes of constant density.

A ray meets the planes between cells at distances known in closed form: in their order they are
the edges of its bins, each of which lies in one cell. Nothing is missed between samples, so
that opaque cells look as the mesh of their faces.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot, pad

from unrender.geometry.cameras import Cameras, Rays
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.shapes.voxels import VoxelGrid

LEAST = 1e-9
"""What directions are at least along each axis: parallel planes are met very far away."""
BINS_AT_ONCE = 1 << 21


def voxels_renderer(
    density: VoxelGrid, color: Float[Tensor, "3"] | Float[Tensor, "x y z 3"]
) -> Renderer:
    """Render densities per unit length, in one colour or each cell in its own.

    For probabilities see `density_from_occupancy`. Normals are those of the cells' faces by
    which the light's share of the ray enters. `render_voxels` is differentiable in densities
    and colours.
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
    """What rays see; differentiable in densities and colours, and not in where the rays are."""
    origins, directions = rays.origins.detach(), rays.directions.detach()
    edges, axis = _edges(density, origins, directions)
    starts, lengths = edges[:, :-1], edges.diff(dim=1)
    middles = origins[:, None] + (starts + lengths / 2)[..., None] * directions[:, None]
    low = torch.tensor(density.low, device=origins.device)
    sizes = torch.tensor(density.values.shape, device=origins.device)
    cell = ((middles - low) / density.cell).long()
    x, y, z = torch.minimum(cell.clamp_min(0), sizes - 1).unbind(-1)
    depth = density.values[x, y, z] * lengths
    # Not the whole sum less the bin's own: beside what is opaque nothing else would be left.
    before = pad(depth[:, :-1].cumsum(1), (1, 0))
    weights = (-before).exp() * -torch.expm1(-depth)
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
    """Where in a bin of this optical depth its light comes from: at its middle, if it is thin.

    ∫ u e^(−depth u) du / ∫ e^(−depth u) du over [0, 1].
    """
    thin = depth < 0.01
    x = torch.where(thin, 1.0, depth)
    return torch.where(thin, 0.5 - depth / 12, 1 / x - (-x).exp() / -torch.expm1(-x))


def _edges(
    grid: VoxelGrid, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, "rays edges"], Int[Tensor, "rays edges"]]:
    """Where rays pass from cell to cell, in order, and through planes of which axis.

    Planes beyond the box or behind the camera are drawn to its ends, and cut off no length.
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
    # What lies before the box is drawn to where the ray enters it, through a plane of its own.
    number = torch.where(t <= nearest, enter.argmax(1, keepdim=True), number)
    t, order = t.maximum(nearest).minimum(farthest).sort(dim=1)
    return t, number.gather(1, order)

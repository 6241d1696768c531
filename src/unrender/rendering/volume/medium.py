"""Matter that emits and absorbs light, drawn by sampling it along rays.

The colour of a ray is ∫ T(t) σ(t) c(t) dt with the transmittance T(t) = exp(−∫ σ) over all in
front of t (NeRF, eq. 1): what reaches the camera of the light that is sent out at t. Here the
ray is cut into bins, the density σ and the colour c of each are those at one place in it, and
the sum over bins is exact for what is constant in each (eq. 3, `rendering/volume.py`).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.bounds import through_ball
from unrender.geometry.cameras import Cameras, Rays
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.compositing import render_bins
from unrender.rendering.volume.proposals import RayInterval, even_edges
from unrender.shapes.implicit.sdf import SDF

Medium = Callable[
    [Float[Tensor, "points 3"]], tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]
]
"""Density per scene unit, and the colour that is sent out, at world points."""

RAYS_AT_ONCE = 8192


def soft_solid(
    sdf: SDF,
    color: Float[Tensor, "3"],
    density: Float[Tensor, ""] | float,
    softness: Float[Tensor, ""] | float,
) -> Medium:
    """A body of one colour: `density` inside, half of it on the surface, none far outside.

    The density is a sigmoid of the signed distance, `softness` wide in scene units: gradients
    reach the surface through it. Differentiable in all, and in what the function is made of.
    """

    def at(points: Float[Tensor, "points 3"]) -> tuple[Tensor, Tensor]:
        inside = (-sdf(points) / softness).sigmoid()
        return density * inside, color.to(points).expand(len(points), 3)

    return at


def even_bins(interval: RayInterval, bins: int) -> Float[Tensor, "rays edges"]:
    """Distances of the edges of bins of equal length or, by the spacing, equal disparity."""
    edges = even_edges(len(interval.near), bins, None)
    return interval.distance(edges.to(interval.near))


def stratified(
    edges: Float[Tensor, "rays edges"], generator: torch.Generator | None
) -> Float[Tensor, "rays bins"]:
    """The distance at which each bin is looked at: one anywhere in it (NeRF, eq. 2).

    All distances are then as likely, so that the sum of density × length over a ray's bins is
    right in the mean. Without a generator, the middles. Drawn on the CPU, as the generator.
    """
    starts, lengths = edges[:, :-1], edges.diff(dim=1)
    if generator is None:
        return starts + lengths / 2
    return starts + lengths * torch.rand(lengths.shape, generator=generator).to(edges)


def points_at(
    rays: Rays, distances: Float[Tensor, "rays bins"]
) -> Float[Tensor, "rays bins 3"]:
    """World points of rays, so far along them."""
    return rays.origins[:, None] + distances[..., None] * rays.directions[:, None]


def render_medium(
    medium: Medium,
    rays: Rays,
    edges: Float[Tensor, "rays edges"],
    generator: torch.Generator | None = None,
) -> Rendering:
    """What rays see of a medium between their first and last edges; `stratified` says where."""
    points = points_at(rays, stratified(edges, generator))
    density, color = medium(points.flatten(0, 1))
    return render_bins(density.view(points.shape[:2]), color.view(points.shape), edges)


def medium_renderer(
    medium: Medium, center: Float[Tensor, "3"], radius: float, bins: int = 128
) -> Renderer:
    """Whole images of what a medium has in a ball, by `bins` even bins of every ray in it."""
    if radius <= 0 or bins < 1:
        raise InputError(
            f"a ball of radius {radius:g} in {bins} bins: give a radius above 0 and one bin or "
            "more"
        )

    def render_rays(rays: Rays) -> Rendering:
        interval = RayInterval(*through_ball(rays, center.to(rays.origins), radius, 0.0))
        return render_medium(medium, rays, even_bins(interval, bins))

    def render(cameras: Cameras) -> Rendering:
        return render_in_tiles(cameras, RAYS_AT_ONCE, render_rays)

    return render

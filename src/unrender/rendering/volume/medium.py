"""Volume rendering of emitting and absorbing media by sampling along rays.

The color of a ray is ∫ T(t) σ(t) c(t) dt with the transmittance T(t) = exp(−∫ σ), integrated
from the camera to t (NeRF, eq. 1). The ray is divided into bins. Density σ and color c are
evaluated at one point of each, and the quadrature is exact if both are constant in each bin
(eq. 3, `compositing.py`).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.bounds import intersect_ball
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.proposals import RayInterval, even_edges
from unrender.shapes.implicit.sdf import SDF

Medium = Callable[
    [Float[Tensor, "points 3"]], tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]
]
"""Density per scene unit and emitted color at world points."""

RAYS_AT_ONCE = 8192


def soft_solid(
    sdf: SDF,
    color: Float[Tensor, "3"],
    density: Float[Tensor, ""] | float,
    softness: Float[Tensor, ""] | float,
) -> Medium:
    """A solid of one color: `density` inside, half of it on the surface, 0 far outside.

    The density is a sigmoid of the signed distance with scale `softness` in scene units,
    through which gradients reach the surface. Differentiable in all arguments and in the
    parameters of the function.
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
    """A random distance in each bin (stratified sampling, NeRF, eq. 2), or its midpoint without
    a generator.

    All distances are equally likely, so that the sum of density × length over a ray's bins is
    unbiased. Sampled on the CPU, where the generator is.
    """
    starts, lengths = edges[:, :-1], edges.diff(dim=1)
    if generator is None:
        return starts + lengths / 2
    return starts + lengths * torch.rand(lengths.shape, generator=generator).to(edges)


def points_at(
    rays: Rays, distances: Float[Tensor, "rays bins"]
) -> Float[Tensor, "rays bins 3"]:
    """World points at the given distances along rays."""
    return rays.origins[:, None] + distances[..., None] * rays.directions[:, None]


def render_medium(
    medium: Medium,
    rays: Rays,
    edges: Float[Tensor, "rays edges"],
    generator: torch.Generator | None = None,
) -> Rendering:
    """Render a medium between the first and last edges of rays, at `stratified` samples."""
    points = points_at(rays, stratified(edges, generator))
    density, color = medium(points.flatten(0, 1))
    out = composite_dense(density.view(points.shape[:2]), color.view(points.shape), edges)
    return Rendering(out.color, out.opacity, out.mean_distance)


def medium_renderer(
    medium: Medium, center: Float[Tensor, "3"], radius: float, bins: int = 128
) -> Renderer:
    """Renderer of a medium inside of a ball, with `bins` bins of equal length on each ray."""
    if radius <= 0 or bins < 1:
        raise InputError(
            f"radius {radius:g}, bins {bins}: give a radius above 0 and at least one bin"
        )

    def render_rays(rays: Rays) -> Rendering:
        interval = RayInterval(*intersect_ball(rays, center.to(rays.origins), radius, 0.0))
        return render_medium(medium, rays, even_bins(interval, bins))

    def render(cameras: Cameras) -> Rendering:
        return render_in_tiles(cameras, RAYS_AT_ONCE, render_rays)

    return render

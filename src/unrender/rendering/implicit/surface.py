"""Renderers of signed distance functions, and soft silhouettes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.runtime.jit import run_threads
from unrender.rendering.implicit.sphere_tracing import (
    Marching,
    Normals,
    along,
    evaluated,
    reached,
    sdf_normals,
    sphere_trace,
)
from unrender.rendering.light.lights import (
    AmbientLight,
    DirectionalLight,
    PhongLight,
    PointLight,
    studio,
)
from unrender.rendering.mesh.shading import GREY, Material, light_on
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.shapes.implicit.colored import ColoredSDF, with_color
from unrender.shapes.implicit.sdf import SDF

RAYS_AT_ONCE = 1 << 19
ROWS = 1 << 13
OFF = 4.0
"""Offset of the origins of shadow rays from the surface, in hit tolerances."""
GOLDEN_STEPS = 20
"""Steps of golden-section search; each keeps 0.62 of the interval, all together 1 in 15,000."""


@dataclass(frozen=True)
class SurfaceRenderOptions:
    """Options of rendering a signed distance function."""

    lights: Sequence[PhongLight] = field(default_factory=studio)
    material: Material = field(default_factory=Material)
    near: float = 0.0
    """Smallest distance along rays at which surfaces are visible."""
    far: float = 100.0
    """Largest distance along rays at which surfaces are visible."""
    shadows: bool = False
    """Whether surfaces cast shadows, at the cost of one more ray per light and hit."""
    normals: Normals = "autograd"
    """How normals are computed, see `sdf_normals`."""
    marching: Marching = field(default_factory=Marching)


def sdf_renderer(
    shape: SDF | ColoredSDF, options: SurfaceRenderOptions | None = None
) -> Renderer:
    """Renderer by sphere tracing, with the shape's colors or gray; also depth and normals.

    One ray per pixel: opacity is 0 or 1 and has no gradients (`silhouettes` has); use
    `supersampled` for antialiasing. Colors, depths and normals are differentiable in the
    cameras and in all tensors that the shape depends on. A camera inside of a shape renders it
    from the inside, with normals toward the camera. Rays that run out of steps count as misses.
    """
    chosen = SurfaceRenderOptions() if options is None else options
    colored = shape if isinstance(shape, ColoredSDF) else with_color(shape, (GREY, GREY, GREY))

    def render(cameras: Cameras) -> Rendering:
        return render_in_tiles(
            cameras,
            RAYS_AT_ONCE,
            lambda rays: render_surface(colored, rays, chosen),
            follow=True,
        )

    return render


def render_surface(shape: ColoredSDF, rays: Rays, options: SurfaceRenderOptions) -> Rendering:
    """Render rays; differentiable except for the opacity."""
    found = sphere_trace(
        shape.sdf,
        rays.origins.detach(),
        rays.directions.detach(),
        options.near,
        options.far,
        options.marching,
    )
    hit = found.mask.nonzero()[:, 0]
    origins, directions = rays.origins[hit], rays.directions[hit]
    distance = found.distance[hit]
    if torch.is_grad_enabled():
        distance = reached(shape.sdf, origins, directions, distance)
    points = along(origins, directions, distance)

    def normal(rows: Int[Tensor, "rows"]) -> Float[Tensor, "rows 3"]:
        outward = sdf_normals(shape.sdf, points[rows], options.normals)
        return torch.where(found.inside[hit[rows], None], -outward, outward)

    normals = _in_parts(normal, points)
    visible = points.new_ones(len(points), len(options.lights))
    if options.shadows:
        for k, light in enumerate(options.lights):
            if not isinstance(light, AmbientLight):
                visible[:, k] = _lit(shape.sdf, points, normals, distance, light, options)

    def shaded(rows: Int[Tensor, "rows"]) -> Float[Tensor, "rows 3"]:
        place, toward = points[rows], normals[rows]
        factor, shine = light_on(
            place, toward, origins[rows], options.lights, options.material, visible[rows]
        )
        return (shape.color(place) * factor + shine).clamp(0, 1)

    color = _in_parts(shaded, points)
    empty = torch.zeros_like(rays.origins)
    return Rendering(
        empty.index_copy(0, hit, color),
        found.mask.to(color.dtype),
        empty[:, 0].index_copy(0, hit, distance),
        empty.index_copy(0, hit, normals),
    )


def _in_parts(
    function: Callable[[Int[Tensor, "rows"]], Float[Tensor, "rows 3"]],
    points: Float[Tensor, "points 3"],
) -> Float[Tensor, "points 3"]:
    """Evaluate a function on blocks of rows in threads, so that its arrays stay in cache."""
    rows = torch.arange(len(points), device=points.device)
    if torch.is_grad_enabled() or points.device.type != "cpu":
        return function(rows)
    return torch.cat(run_threads(function, rows.split(ROWS), False))


@torch.no_grad()
def _lit(
    sdf: SDF,
    points: Float[Tensor, "hits 3"],
    normals: Float[Tensor, "hits 3"],
    distance: Float[Tensor, "hits"],
    light: DirectionalLight | PointLight,
    options: SurfaceRenderOptions,
) -> Float[Tensor, "hits"]:
    """1 where the light is visible from a point, 0 where it is occluded; no gradients."""
    # Offset from the surface, which shadow rays would hit immediately otherwise.
    off = points + (OFF * options.marching.tolerance * distance)[:, None] * normals
    way, far = light.toward(off)
    far = torch.where(far.isinf(), options.far, far)
    facing = ((normals * way).sum(1) > 0).nonzero()[:, 0]
    found = sphere_trace(sdf, off[facing], way[facing], 0.0, far[facing], options.marching)
    return torch.zeros_like(distance).index_copy(0, facing, (~found.mask).to(distance))


def silhouettes(
    sdf: SDF,
    rays: Rays,
    near: float,
    far: float,
    sharpness: float,
    num_samples: int = 64,
) -> Float[Tensor, "rays"]:
    """Soft masks, with gradients from rays that miss the surface too.

    sigmoid(−sharpness · min f along the ray), ½ where the ray touches the surface (Yariv et
    al., IDR, NeurIPS 2020, eq. 7); `sharpness` is per scene unit. The smallest of the samples
    between `near` and `far` is refined by golden-section search; features thinner than the
    sample spacing may be missed. The position of the minimum has no gradient, as f is
    stationary there. Raises InputError if `far` ≤ `near`, or for fewer than 3 samples.
    """
    if not (near < far and num_samples >= 3):
        raise InputError(
            f"{num_samples} samples from {near:g} to {far:g}: give 3 or more, and near < far"
        )
    place = _nearest_place(sdf, rays.detach(), near, far, num_samples)
    value = evaluated(sdf, along(rays.origins, rays.directions, place))
    return torch.sigmoid(-sharpness * value)


@torch.no_grad()
def _nearest_place(
    sdf: SDF, rays: Rays, near: float, far: float, num_samples: int
) -> Float[Tensor, "rays"]:
    """Distance along each ray at which the function has its minimum."""

    def at(place: Float[Tensor, "rays"]) -> Float[Tensor, "rays"]:
        return evaluated(sdf, along(rays.origins, rays.directions, place))

    width = (far - near) / (num_samples - 1)
    best = torch.full_like(rays.pixel_radius, near)
    least = at(best)
    for k in range(1, num_samples):
        place = torch.full_like(best, near + k * width)
        value = at(place)
        best, least = torch.where(value < least, place, best), torch.minimum(value, least)
    low, high = (best - width).clamp_min(near), (best + width).clamp_max(far)
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = at(left), at(right)
    for _ in range(GOLDEN_STEPS):
        lower = at_left < at_right
        low, high = torch.where(lower, low, left), torch.where(lower, right, high)
        new = torch.where(lower, high - share * (high - low), low + share * (high - low))
        at_new = at(new)
        left, right = torch.where(lower, new, right), torch.where(lower, left, new)
        at_left, at_right = (
            torch.where(lower, at_new, at_right),
            torch.where(lower, at_left, at_new),
        )
    return (low + high) / 2

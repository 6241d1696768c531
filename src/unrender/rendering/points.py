"""Rendering of points as round spots that fade from their centers outward.

A spot of radius r has opacity exp(−2 d² / r²) at distance d from its center: 1 at the center,
0.14 at the radius. Spots are either composited front to back, which is splatting
(kernels/splat), or the nearest few of each pixel are averaged with their opacities as weights,
as overlapping surfels are (Wiles et al., "SynSin", 2020, compares the two).
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.kernels.runtime.backend import Backend
from unrender.kernels.splat import MIN_ALPHA, splat
from unrender.rendering.mesh.raster import NEAR
from unrender.rendering.renderer import Renderer, Rendering, mean_depth

MOST_PIXELS = 1 << 27
"""Largest number of pairs of spot and pixel for averaging: a few gigabytes of memory."""


def points_renderer(
    points: Float[Tensor, "points 3"],
    colors: Float[Tensor, "points 3"],
    radius: Float[Tensor, "points"] | float,
    *,
    in_pixels: bool = False,
    mixing: Literal["front to back", "mean"] = "front to back",
    layers: int = 8,
    backend: Backend = "auto",
) -> Renderer:
    """Renderer of points as spots; differentiable in positions, colors, radius and cameras.

    Colors are in [0, 1]. `radius` is in scene units or, with `in_pixels`, in pixels at any
    distance. `mixing` "mean" averages the `layers` nearest spots. Raises InputError if radius
    or layers are not positive.
    """
    if layers < 1:
        raise InputError(f"layers {layers}: give at least 1")
    radii = torch.as_tensor(radius, dtype=points.dtype, device=points.device)
    radii = radii.expand(len(points))
    if not bool((radii > 0).all()):
        raise InputError(f"radius {float(radii.min()):g}: give a positive one")

    def render(cameras: Cameras) -> Rendering:
        parts: list[Rendering] = []
        for k in range(len(cameras)):
            camera = cameras.select(slice(k, k + 1))
            index = torch.zeros(len(points), dtype=torch.long, device=points.device)
            means, z = camera.project(index, points)
            seen = (z > NEAR).nonzero()[:, 0]
            distance = (points[seen] - camera.centers).norm(dim=1)
            size = radii[seen] if in_pixels else radii[seen] * camera.focal / z[seen]
            arrays = means[seen], size, colors[seen], distance
            if mixing == "mean":
                parts.append(_mean(*arrays, cameras.width, cameras.height, layers))
                continue
            conic = 4 / size.square()
            conics = torch.stack([conic, torch.zeros_like(conic), conic], dim=1)
            found = splat(
                means[seen], conics, colors[seen], torch.ones_like(size), distance,
                cameras.width, cameras.height, backend,
            )  # fmt: skip
            depth = mean_depth(found.depth, found.opacity)
            parts.append(Rendering(found.color, found.opacity, depth))
        return Rendering(
            torch.stack([part.color for part in parts]),
            torch.stack([part.opacity for part in parts]),
            torch.stack([part.depth for part in parts]),
        )

    return render


def _mean(
    means: Float[Tensor, "spots 2"],
    radii: Float[Tensor, "spots"],
    colors: Float[Tensor, "spots 3"],
    distance: Float[Tensor, "spots"],
    width: int,
    height: int,
    layers: int,
) -> Rendering:
    spot, pixel = _pairs(means.detach(), radii.detach(), width, height)
    # Sort by pixel and then by distance; each pixel keeps its nearest spots.
    order = distance.detach()[spot].argsort(stable=True)
    order = order[pixel[order].argsort(stable=True)]
    spot, pixel = spot[order], pixel[order]
    first = torch.searchsorted(pixel, pixel)
    kept = torch.arange(len(pixel), device=pixel.device) - first < layers
    spot, pixel = spot[kept], pixel[kept]
    centers = torch.stack([pixel % width, pixel // width], dim=1) + 0.5
    square = (centers - means[spot]).square().sum(1)
    alpha = torch.exp(-2 * square / radii[spot].square())
    numbers = torch.cat([colors, distance[:, None], torch.ones_like(distance)[:, None]], dim=1)
    numbers = numbers[spot] * alpha[:, None]
    total = numbers.new_zeros(width * height, 5).index_add(0, pixel, numbers)
    # Log transmittance of all spots of a pixel.
    missed = torch.log1p(-alpha.clamp_max(1 - 1e-6))
    missed = missed.new_zeros(width * height).index_add(0, pixel, missed)
    opacity = -torch.expm1(missed)
    mean = total[:, :4] / total[:, 4:].clamp_min(1e-6) * opacity[:, None]
    mean, opacity = mean.view(height, width, 4), opacity.view(height, width)
    return Rendering(mean[..., :3], opacity, mean_depth(mean[..., 3], opacity))


def _pairs(
    means: Float[Tensor, "spots 2"], radii: Float[Tensor, "spots"], width: int, height: int
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """Pairs of spots and the pixels where their opacity is at least MIN_ALPHA."""
    reach = radii * (-torch.tensor(MIN_ALPHA).log() / 2).sqrt().item()
    limit = torch.tensor([width, height], device=means.device)
    low = (means - reach[:, None] - 0.5).ceil().clamp_min(0).minimum(limit).long()
    high = ((means + reach[:, None] - 0.5).floor() + 1).clamp_min(0).minimum(limit).long()
    size = (high - low).clamp_min(0)
    count = size.prod(1)
    if int(count.sum()) > MOST_PIXELS:
        raise InputError(
            f"spots cover {int(count.sum())} pixels, more than {MOST_PIXELS}: give a "
            'smaller radius, or mixing="front to back"'
        )
    spot = torch.arange(len(means), device=means.device).repeat_interleave(count)
    within = torch.arange(len(spot), device=means.device)
    within -= (count.cumsum(0) - count).repeat_interleave(count)
    x = low[spot, 0] + within % size[spot, 0]
    y = low[spot, 1] + within // size[spot, 0]
    square = (torch.stack([x, y], dim=1) + 0.5 - means[spot]).square().sum(1)
    near = square <= reach[spot].square()
    return spot[near], (y * width + x)[near]

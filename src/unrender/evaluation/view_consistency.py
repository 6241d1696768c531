"""Whether images of one scene agree: each is compared with its neighbor, warped to it by depth.

Images of one solid scene agree where both cameras see the same surface. Those that a generative
model makes one by one do not, however good each of them looks.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.renders import render_in_parts
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import camera_distances
from unrender.geometry.pixels import pixel_grid
from unrender.rendering.renderer import Renderer

TOLERANCE = 0.03
"""Largest difference of two depths of one surface point, as a share of its distance."""
OUTLINE = 0.1
"""Difference in depth between neighboring pixels that makes an outline, likewise."""
SIDE = 128
"""Pixels of the shorter side of images whose consistency is measured, at least."""
OPAQUE = 0.5
"""Least opacity of a pixel that shows the scene."""


@dataclass(frozen=True)
class ViewConsistency:
    """How well neighboring images agree where both cameras see the same surface."""

    psnr: float
    """Of all pixels compared, in dB; infinite if all agree exactly."""
    share: float
    """Pixels compared, as a share of those that show the scene."""


def view_consistency(
    colors: Float[Tensor, "images height width 3"],
    depth: Float[Tensor, "images height width"],
    opacity: Float[Tensor, "images height width"],
    cameras: Cameras,
) -> ViewConsistency:
    """PSNR of each image against the nearest other one, warped to it.

    `colors` are RGB over any background; `depth` is the distance along the ray and `opacity`
    tells the scene from the background. Both may be those of a scene fitted to the images. The
    nearest camera is that of `camera_distances`. InputError for fewer than two images, several
    sizes, or images that have no surface in common.
    """
    if len(cameras) < 2:
        raise InputError(f"consistency of {len(cameras)} view: give two or more")
    cameras.sizes.one  # noqa: B018 - raises
    hit = inside((opacity >= OPAQUE) & (depth > 0), depth)
    neighbors = neighboring(cameras)
    warped, seen = warped_images(colors, depth, hit, cameras, neighbors)
    compared = int(seen.sum())
    if not compared:
        raise InputError("no surface is seen by two neighboring views: give more views")
    error = float((warped - colors)[seen].double().square().mean())
    psnr = math.inf if error == 0 else -10 * math.log10(error)
    return ViewConsistency(psnr, compared / int(hit.sum()))


def scene_consistency(
    renderer: Renderer, views: Views, side: int = SIDE
) -> tuple[ViewConsistency, ViewConsistency]:
    """The consistency of a scene's renderings, and that of other images from the same cameras.

    `views` are for example the generated ones from which the scene was distilled. Both are
    warped by the scene's depth and are over white. Where the shorter side of the views is less
    than `side` pixels, the scene is rendered with more, and the other images are enlarged:
    images of few pixels disagree by sampling alone. InputError.
    """
    size = views.cameras.sizes.one
    width, height = (round(each * max(1.0, side / min(size))) for each in size)
    rendering = render_in_parts(renderer, views.cameras.resized(width, height))
    own, others = rendering.over("white").clamp(0, 1), views.over("white").clamp(0, 1)
    others = interpolate(others.movedim(-1, 1), (height, width), mode="bilinear").movedim(1, -1)
    how = rendering.depth, rendering.opacity, views.cameras.resized(width, height)
    return view_consistency(own, *how), view_consistency(others, *how)


def inside(
    hit: Bool[Tensor, "images height width"], depth: Float[Tensor, "images height width"]
) -> Bool[Tensor, "images height width"]:
    """Hit pixels away from outlines, whose eight neighbors are hit at nearly the same depth.

    Pixels at outlines are mixed of two surfaces, of which depth tells one.
    """
    known = torch.where(hit, depth, torch.inf)[:, None]
    nearest = -max_pool2d(-known, 3, 1, 1)
    farthest = max_pool2d(known, 3, 1, 1)
    return hit & ((farthest - nearest) <= OUTLINE * nearest)[:, 0]


def neighboring(cameras: Cameras) -> Int[Tensor, "cameras"]:
    """The index of the camera nearest to each, other than itself."""
    apart = camera_distances(cameras, cameras, focus_point(cameras))
    apart.fill_diagonal_(torch.inf)
    return apart.argmin(1)


def warped_images(
    colors: Float[Tensor, "images height width channels"],
    depth: Float[Tensor, "images height width"],
    hit: Bool[Tensor, "images height width"],
    cameras: Cameras,
    sources: Int[Tensor, "images"],
) -> tuple[Float[Tensor, "images height width channels"], Bool[Tensor, "images height width"]]:
    """Each image as the image of its source shows it, and which of its pixels that one sees.

    The surface point of a pixel, by the pixel's own depth, is looked up in the source between
    four pixels. The source sees it if it is inside the source's image, if these pixels are all
    `hit`, and if the depth there is its distance to within 3%.
    """
    count, height, width = depth.shape
    camera = torch.arange(count, device=depth.device)[:, None, None].expand(-1, height, width)
    pixel = pixel_grid(width, height, depth.device).expand(count, -1, -1, -1)
    rays = cameras.rays(camera, pixel)
    points = rays.origins + depth[..., None] * rays.directions
    source = sources[:, None, None].expand(-1, height, width)
    place, front = cameras.project(source, points)
    distance = (points - cameras.centers[source]).norm(dim=-1)
    # Between pixel centers at +0.5, as everywhere; borders are those of grid_sample.
    grid = 2 * place / place.new_tensor([width, height]) - 1
    grid = torch.nan_to_num(grid, nan=2.0).clamp(-2, 2)
    stored = torch.cat([colors, depth[..., None], hit[..., None].to(colors)], dim=-1)
    found = grid_sample(
        stored[sources].movedim(-1, 1), grid, mode="bilinear", align_corners=False
    ).movedim(1, -1)
    there, whole = found[..., -2], found[..., -1] > 1 - 1e-4
    seen = hit & whole & (front > 0) & ((there - distance).abs() <= TOLERANCE * distance)
    return found[..., :-2], seen

"""Plane sweep: at which depths several images agree (Collins, CVPR 1996).

The images are projected onto planes parallel to a reference camera's image. Where a plane has
the depth of the surface, they show the same color.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average

WIDTH = 160
"""Pixels of the images' width, in which depths are compared."""
NEIGHBORS = 8
"""Images that are compared with the reference."""
LEVELS = 96
"""Planes, evenly spaced in inverse depth."""
MAX_SHIFT = 0.15
"""Largest disparity between adjacent cameras, as a share of the image's width."""
WINDOW = 5
"""Pixels of the side of the squares over which images are compared."""
TEXTURED, STRONG, FAINT = 0.5, 0.98, 0.1
"""Share of the pixels, those with the strongest gradients, whose depths are counted; the
quantile of gradients that are strong, and the part of these below which none are counted."""
NEARER, FARTHER = 0.01, 0.05
"""Shares of their depths that are nearer than what is taken as the nearest, and farther than
what is taken as the farthest: far depths are less certain."""


def plane_sweep(
    images: Float[Tensor, "cameras height width channels"],
    cameras: Cameras,
    reference: Cameras,
    depths: Float[Tensor, "planes"],
) -> Float[Tensor, "planes new_height new_width"]:
    """How much images differ where they are projected onto planes, at a reference's pixels.

    The variance over the images in which a point is, averaged over channels and over a small
    square; infinite where fewer than two show it. `depths` are along the reference's optical
    axis, in scene units.
    """
    width, height = reference.sizes[0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5
    rays = reference.rays(torch.zeros(len(pixels), dtype=torch.long), pixels)
    forward = reference.rotations[0, :, 2]
    towards = rays.directions / (rays.directions @ forward)[:, None]
    stacked = images.movedim(-1, 1)
    found: list[Tensor] = []
    for depth in depths.tolist():
        points = rays.origins + depth * towards
        total, square = stacked.new_zeros(2, stacked.shape[1], height, width)
        count = stacked.new_zeros(height, width)
        for k in range(len(cameras)):
            place, ahead = cameras.project(torch.tensor(k).expand(len(points)), points)
            place = place / cameras.sizes.each(len(cameras))[k] * 2 - 1
            seen = (ahead > 0) & (place.abs() < 1).all(1)
            grid = place.view(1, height, width, 2)
            shown = grid_sample(
                stacked[k : k + 1], grid, align_corners=False, padding_mode="border"
            )
            mask = seen.view(height, width).to(shown)
            total += shown[0] * mask
            square += shown[0].square() * mask
            count += mask
        variance = square / count - (total / count).square()
        spread = variance.mean(0).nan_to_num(0.0).clamp_min(0)
        enough = (count >= 2).to(spread)
        inside = avg_pool2d(enough[None], WINDOW, 1, WINDOW // 2)[0]
        mean = avg_pool2d((spread * enough)[None], WINDOW, 1, WINDOW // 2)[0] / inside
        found.append(mean.masked_fill(enough == 0, torch.inf))
    return torch.stack(found)


def middle_cameras(cameras: Cameras) -> Int[Tensor, "chosen"]:
    """Numbers of the camera in the middle of all, and of those that are nearest to it.

    The middle one alone if all stand in one place.
    """
    centers = cameras.centers
    middle = (centers - centers.mean(0)).norm(dim=1).argmin()
    apart = (centers - centers[middle]).norm(dim=1)
    order = apart.argsort()
    order = torch.cat([middle[None], order[apart[order] > 0]])
    return order[: NEIGHBORS + 1]


def inverse_depths(cameras: Cameras) -> Float[Tensor, "planes"]:
    """Inverse depths that a plane sweep tries, from nearly 0 on, evenly spaced.

    The largest gives MAX_SHIFT between the first camera, the reference, and the nearest other.
    """
    apart = (cameras.centers[1:] - cameras.centers[0]).norm(dim=1)
    nearest = float(cameras.focal[0] * apart.min()) / (MAX_SHIFT * cameras.sizes[0][0])
    return torch.linspace(0, 1 / nearest, LEVELS + 1)[1:]


def depth_range(
    images: Float[Tensor, "cameras height width channels"], cameras: Cameras
) -> tuple[float, float, float]:
    """The nearest, the median and the farthest depth of what cameras see, in scene units.

    From the disparities of the first image, the reference, and the others, of at least two
    cameras that look one way; see `middle_cameras`.
    """
    reference, inverse, cost = _sweep(images, cameras)
    best = inverse[cost.argmin(0)]
    gray = reference.mean(-1)
    slope = torch.zeros_like(gray)
    slope[:, 1:] += (gray[:, 1:] - gray[:, :-1]).abs()
    slope[1:] += (gray[1:] - gray[:-1]).abs()
    least, strong = slope.quantile(1 - TEXTURED), slope.quantile(STRONG)
    counted = best[slope >= torch.maximum(least, FAINT * strong)]
    near, middle, far = (1 / counted.quantile(1 - q).item() for q in (NEARER, 0.5, 1 - FARTHER))
    return near, middle, far


def least_disagreement(
    images: Float[Tensor, "cameras height width channels"], cameras: Cameras
) -> float:
    """How much images differ on average where each pixel has the depth that suits it best.

    Of at least two cameras, as `depth_range`; large where the cameras are not where the images
    were taken.
    """
    _, _, cost = _sweep(images, cameras)
    least = cost.amin(0)
    return float(least[least.isfinite()].mean())


def focus_depth(
    images: Float[Tensor, "cameras height width channels"], cameras: Cameras
) -> float:
    """The depth of one plane at which images differ least on average, in scene units.

    Of at least two cameras that look one way, the first being the reference; see
    `middle_cameras`.
    """
    _, inverse, cost = _sweep(images, cameras)
    finite = cost.isfinite().all(0)
    mean = cost[:, finite] if bool(finite.any()) else cost.nan_to_num(posinf=1.0).flatten(1)
    return 1 / inverse[mean.mean(1).argmin()].item()


def _sweep(
    images: Float[Tensor, "cameras height width channels"], cameras: Cameras
) -> tuple[
    Float[Tensor, "small_height small_width channels"],
    Float[Tensor, "planes"],
    Float[Tensor, "planes small_height small_width"],
]:
    """The first image, downscaled, inverse depths, and how much the images differ at each."""
    width = min(WIDTH, cameras.width)
    height = max(1, round(cameras.height * width / cameras.width))
    small = cameras.resized(width, height)
    shown = area_average(images, width, height)
    inverse = inverse_depths(small)
    return shown[0], inverse, plane_sweep(shown, small, small[0], 1 / inverse)

"""Fusion of depth images in PyTorch, image by image."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.kernels.depth_fusion import DepthImages

MAX_POINTS = 1 << 18
"""Points projected together."""


def fuse_depth(
    images: DepthImages,
    low: Float[Tensor, "3"],
    step: float,
    size: tuple[int, int, int],
    truncation: float,
) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
    axes = [torch.arange(count, device=images.depth.device) * step for count in size]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) + low.to(axes[0])
    means, counts = [], []
    for points in grid.view(-1, 3).split(MAX_POINTS):
        total, count = torch.zeros_like(points[:, 0]), torch.zeros_like(points[:, 0])
        for k in range(len(images)):
            depth, distance, known, _ = _look_up(images, k, points)
            ahead = (depth - distance) / truncation
            known &= ahead > -1
            total += torch.where(known, ahead.clamp_max(1), 0.0)
            count += known
        means.append(torch.where(count > 0, total / count.clamp_min(1), 1.0))
        counts.append(count)
    return torch.cat(means).view(size), torch.cat(counts).view(size)


def fuse_colors(
    images: DepthImages,
    rgba: Float[Tensor, "views height width 4"],
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    tolerance: float,
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
    colors, weights = [], []
    for part, normal in zip(points.split(MAX_POINTS), normals.split(MAX_POINTS), strict=True):
        total = part.new_zeros(len(part), 4)
        for k in range(len(images)):
            depth, distance, known, pixel = _look_up(images, k, part)
            near = (1 - (depth - distance).abs() / tolerance).clamp_min(0)
            toward = images.centers[k] - part
            facing = ((toward * normal).sum(1) / distance).clamp_min(0)
            weight = torch.where(known, near * facing.square(), 0.0)
            total += weight[:, None] * _interpolated(rgba[k], pixel)
        weights.append(total[:, 3])
        seen = total[:, 3:] > 0
        colors.append(torch.where(seen, total[:, :3] / torch.where(seen, total[:, 3:], 1.0), 0))
    return torch.cat(colors), torch.cat(weights)


def _look_up(
    images: DepthImages, k: int, points: Float[Tensor, "points 3"]
) -> tuple[
    Float[Tensor, "points"],
    Float[Tensor, "points"],
    Bool[Tensor, "points"],
    Float[Tensor, "points 2"],
]:
    """Depths in image k, the points' distances, which points have both, and their pixels."""
    height, width = images.depth.shape[1:]
    matrix = images.projections[k]
    projected = points @ matrix[:, :3].T + matrix[:, 3]
    front = projected[:, 2]
    pixel = projected[:, :2] / torch.where(front > 0, front, 1.0)[:, None]
    inside = (
        (front > 0) & (pixel >= 0).all(1) & (pixel < pixel.new_tensor([width, height])).all(1)
    )
    x, y = torch.where(inside[:, None], pixel, 0.0).long().unbind(1)
    depth = images.depth[k, y, x]
    return depth, (points - images.centers[k]).norm(dim=1), inside & (depth > 0), pixel


def _interpolated(
    image: Float[Tensor, "height width 4"], pixel: Float[Tensor, "points 2"]
) -> Float[Tensor, "points 4"]:
    """Values between pixel centers; beyond the outer ones, those of the border."""
    height, width, _ = image.shape
    last = pixel.new_tensor([width - 1, height - 1])
    place = (pixel - 0.5).clamp_min(0).minimum(last)
    first = place.floor()
    second = (first + 1).minimum(last)
    right, down = (place - first)[:, None].unbind(2)

    def at(column: Tensor, row: Tensor) -> Float[Tensor, "points 4"]:
        return image[row.long(), column.long()]

    upper = at(first[:, 0], first[:, 1]) * (1 - right) + at(second[:, 0], first[:, 1]) * right
    lower = at(first[:, 0], second[:, 1]) * (1 - right) + at(second[:, 0], second[:, 1]) * right
    return upper * (1 - down) + lower * down

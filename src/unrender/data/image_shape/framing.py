"""Images as networks that read shapes see them: the object in the middle, as large as it fits.

A shape that is known up to its scale looks the same from twice as far when it is twice as
large, so neither its place in the image nor its size there says anything, and both are taken
away: from what is learned from, and from the photographs that are asked about.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images

MARGIN = 1 / 16
"""Share of the side of a framed image that stays empty on each side of the object."""
SOLID = 0.5
"""Pixels of at least this opacity belong to the object."""


def squares_of_points(
    cameras: Cameras, points: Float[Tensor, "points 3"]
) -> Float[Tensor, "cameras 3"]:
    """Left and upper edge and side of the square around the points' images, with the margin."""
    number = torch.arange(len(cameras))[:, None].expand(-1, len(points))
    pixel, _ = cameras.project(number, points.expand(len(cameras), -1, -1))
    return _squares(pixel.amin(1), pixel.amax(1))


def squares_of_images(images: Images) -> Float[Tensor, "images 3"]:
    """The same around what is opaque. InputError if nothing is."""
    solid = images[..., 3] >= SOLID
    if not bool(solid.any(2).any(1).all()):
        raise InputError("an image is empty: give photographs with an object, cut out")
    corners: list[tuple[Tensor, Tensor]] = []
    for along in (solid.any(1), solid.any(2)):
        first = along.int().argmax(1)
        last = along.shape[1] - along.flip(1).int().argmax(1)
        corners.append((first, last))
    low, high = (
        torch.stack(edge, dim=1).to(images.dtype) for edge in zip(*corners, strict=True)
    )
    return _squares(low, high)


def _squares(low: Float[Tensor, "n 2"], high: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    side = (high - low).amax(1, keepdim=True) / (1 - 2 * MARGIN)
    return torch.cat([(low + high - side) / 2, side], dim=1)


def framed_cameras(cameras: Cameras, squares: Float[Tensor, "cameras 3"], size: int) -> Cameras:
    """Cameras that see these squares alone, in `size` pixels."""
    scale = size / squares[:, 2]
    crop = torch.zeros_like(cameras.intrinsics)
    crop[:, 0, 0] = crop[:, 1, 1] = scale
    crop[:, :2, 2] = -scale[:, None] * squares[:, :2]
    crop[:, 2, 2] = 1
    return dataclasses.replace(
        cameras, intrinsics=crop @ cameras.intrinsics, width=size, height=size
    )


def framed_images(
    images: Images, squares: Float[Tensor, "images 3"], size: int
) -> Float[Tensor, "images {size} {size} 4"]:
    """What these squares hold, to the nearest pixel; beyond the image nothing is."""
    found: list[Tensor] = []
    for image, (left, upper, side) in zip(images, squares.round().long().tolist(), strict=True):
        height, width, channels = image.shape
        canvas = image.new_zeros(max(side, 1), max(side, 1), channels)
        x, y = max(left, 0), max(upper, 0)
        part = image[y : max(upper + side, 0), x : max(left + side, 0)]
        assert x < width, "a square stands on its object"
        assert y < height, "a square stands on its object"
        canvas[y - upper : y - upper + part.shape[0], x - left : x - left + part.shape[1]] = (
            part
        )
        found.append(area_average(canvas, size, size))
    return torch.stack(found)


def framed(images: Images, size: int) -> Float[Tensor, "images {size} {size} 4"]:
    """Cut-out photographs of any size, framed. InputError if one is empty."""
    return framed_images(images, squares_of_images(images), size)

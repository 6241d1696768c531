"""Cropping of images around their object, as networks that predict shapes receive them.

Shapes are known up to scale only: one that is twice as large looks the same from twice the
distance. Position and size of the object in the image therefore carry no information, and both
are normalized, in training images as in those that a shape is predicted from.
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
"""Width of the empty border on each side of the object, as a fraction of the image side."""
SOLID = 0.5
"""Pixels of at least this opacity belong to the object."""


def squares_of_points(
    cameras: Cameras, points: Float[Tensor, "points 3"]
) -> Float[Tensor, "cameras 3"]:
    """Left edge, upper edge and side of the square around the projected points, with margin."""
    number = torch.arange(len(cameras))[:, None].expand(-1, len(points))
    pixel, _ = cameras.project(number, points.expand(len(cameras), -1, -1))
    return _squares(pixel.amin(1), pixel.amax(1))


def squares_of_images(images: Images) -> Float[Tensor, "images 3"]:
    """The same around the opaque pixels. Raises InputError if there are none."""
    solid = images[..., 3] >= SOLID
    if not bool(solid.any(2).any(1).all()):
        raise InputError("an image is empty: give images whose alpha channel shows an object")
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
    """Cameras cropped to these squares, with images of `size`×`size` pixels."""
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
    """Crop images to squares, rounded to whole pixels; outside an image, alpha is 0."""
    found: list[Tensor] = []
    for image, (left, upper, side) in zip(images, squares.round().long().tolist(), strict=True):
        height, width, channels = image.shape
        canvas = image.new_zeros(max(side, 1), max(side, 1), channels)
        x, y = max(left, 0), max(upper, 0)
        part = image[y : max(upper + side, 0), x : max(left + side, 0)]
        assert x < width, "a square overlaps its image"
        assert y < height, "a square overlaps its image"
        canvas[y - upper : y - upper + part.shape[0], x - left : x - left + part.shape[1]] = (
            part
        )
        found.append(area_average(canvas, size, size))
    return torch.stack(found)


def framed(images: Images, size: int) -> Float[Tensor, "images {size} {size} 4"]:
    """Images with alpha, of any size, cropped to their object. InputError if one is empty."""
    return framed_images(images, squares_of_images(images), size)

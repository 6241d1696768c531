"""Conversion from and to PyTorch3D's cameras.

A PyTorch3D camera has R and T with x_camera = x_world R + T for row vectors, and axes x left, y
up and z forward. In its normalized device coordinates (NDC) x points left and y up too, in
units of half of the image's shorter side from the center: the upper left corner of a square
image is (1, 1). Its screen space has the same pixels as this library.
https://pytorch3d.org/docs/cameras
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras

SKEW_TOLERANCE = 1e-5
"""Largest skew treated as 0, relative to the focal length."""


def ndc_from_pixels(
    pixels: Float[Tensor, "*batch 2"], width: int, height: int
) -> Float[Tensor, "*batch 2"]:
    """Convert pixels (x, y) to NDC."""
    return (pixels.new_tensor([width, height]) / 2 - pixels) / (min(width, height) / 2)


def pixels_from_ndc(
    ndc: Float[Tensor, "*batch 2"], width: int, height: int
) -> Float[Tensor, "*batch 2"]:
    """The inverse of `ndc_from_pixels`."""
    return ndc.new_tensor([width, height]) / 2 - ndc * (min(width, height) / 2)


def from_pytorch3d(
    rotation: Float[Tensor, "cameras 3 3"],
    translation: Float[Tensor, "cameras 3"],
    focal: Float[Tensor, "cameras 2"],
    principal: Float[Tensor, "cameras 2"],
    width: int,
    height: int,
    in_ndc: bool = True,
) -> Cameras:
    """Convert PerspectiveCameras; focal length and principal point are in NDC or in pixels."""
    if in_ndc:
        focal = focal * (min(width, height) / 2)
        principal = pixels_from_ndc(principal, width, height)
    # x and y change their signs, and the rotation is transposed for column vectors.
    flip = rotation.new_tensor([-1.0, -1.0, 1.0])
    camera_from_world = flip[:, None] * rotation.mT
    center = -(camera_from_world.mT @ (flip * translation)[..., None])
    matrix = torch.diag_embed(torch.cat([focal, torch.ones_like(focal[:, :1])], dim=1))
    matrix[:, :2, 2] = principal
    return Cameras(torch.cat([camera_from_world.mT, center], dim=2), matrix, width, height)


def to_pytorch3d(
    cameras: Cameras, in_ndc: bool = True
) -> tuple[
    Float[Tensor, "cameras 3 3"],
    Float[Tensor, "cameras 3"],
    Float[Tensor, "cameras 2"],
    Float[Tensor, "cameras 2"],
]:
    """R, T, focal lengths and principal points for PyTorch3D's PerspectiveCameras.

    InputError if a camera has skew, which PerspectiveCameras do not support.
    """
    matrix = cameras.intrinsics
    if bool((matrix[:, 0, 1].abs() > SKEW_TOLERANCE * matrix[:, 0, 0].abs()).any()):
        raise InputError("a camera has skew, which PyTorch3D does not support: set it to 0")
    flip = matrix.new_tensor([-1.0, -1.0, 1.0])
    rotation = cameras.rotations * flip
    translation = -(rotation.mT @ cameras.centers[..., None])[..., 0]
    focal, principal = matrix[:, :2, :2].diagonal(dim1=1, dim2=2), matrix[:, :2, 2]
    if in_ndc:
        focal = focal / (min(cameras.width, cameras.height) / 2)
        principal = ndc_from_pixels(principal, cameras.width, cameras.height)
    return rotation, translation, focal, principal

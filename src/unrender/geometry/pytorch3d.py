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
from torch.nn.functional import normalize

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


def from_field_of_view(
    rotation: Float[Tensor, "cameras 3 3"],
    translation: Float[Tensor, "cameras 3"],
    fov: Float[Tensor, "cameras"],
    width: int,
    height: int,
    aspect_ratio: float = 1.0,
) -> Cameras:
    """Convert FoVPerspectiveCameras; `fov` is in radians, across the image's shorter side.

    `aspect_ratio` is that of the pixels; the horizontal focal length is divided by it.
    """
    vertical = 1 / (fov / 2).tan()
    focal = torch.stack([vertical / aspect_ratio, vertical], dim=1)
    return from_pytorch3d(rotation, translation, focal, torch.zeros_like(focal), width, height)


def look_at_view_transform(
    distance: Float[Tensor, "cameras"],
    elevation: Float[Tensor, "cameras"],
    azimuth: Float[Tensor, "cameras"],
    at: Float[Tensor, "3"] | None = None,
    up: Float[Tensor, "3"] | None = None,
) -> tuple[Float[Tensor, "cameras 3 3"], Float[Tensor, "cameras 3"]]:
    """R and T of cameras around a point, like PyTorch3D's function of the same name.

    y is up: elevation is the angle above the xz plane, and azimuth the angle about y from +z
    towards +x. Angles are in radians here, but in degrees in PyTorch3D. If the viewing
    direction is parallel to `up`, the world's z axis is used instead.
    """
    at = torch.zeros(3).to(distance) if at is None else at
    up = distance.new_tensor([0.0, 1.0, 0.0]) if up is None else up
    cosine = elevation.cos()
    offset = torch.stack(
        [cosine * azimuth.sin(), elevation.sin(), cosine * azimuth.cos()], dim=1
    )
    center = at + distance[:, None] * offset
    forward = normalize(at - center, dim=1)
    left = torch.linalg.cross(up.expand_as(forward), forward)
    fallback = torch.linalg.cross(distance.new_tensor([0.0, 0, 1]).expand_as(forward), forward)
    left = normalize(torch.where(left.norm(dim=1, keepdim=True) < 1e-6, fallback, left), dim=1)
    image_up = torch.linalg.cross(forward, left)
    rotation = torch.stack([left, image_up, forward], dim=2)
    return rotation, -(rotation.mT @ center[..., None])[..., 0]

"""PyTorch3D's cameras, as here and back.

There a camera is R and T with x_camera = x_world R + T for row vectors, its axes x to the left,
y up and z forward. In its normalised device coordinates (NDC) x is to the left and y up too, in
halves of the image's shorter side from the middle: the upper left corner of a square image is
at (1, 1). Its screen space is our pixels. https://pytorch3d.org/docs/cameras
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras

SKEW_TOLERANCE = 1e-5
"""Of a focal length."""


def ndc_from_pixels(
    pixels: Float[Tensor, "*batch 2"], width: int, height: int
) -> Float[Tensor, "*batch 2"]:
    """(x, y) in NDC of pixels (x, y)."""
    return (pixels.new_tensor([width, height]) / 2 - pixels) / (min(width, height) / 2)


def pixels_from_ndc(
    ndc: Float[Tensor, "*batch 2"], width: int, height: int
) -> Float[Tensor, "*batch 2"]:
    """Undo `ndc_from_pixels`."""
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
    """PyTorch3D's PerspectiveCameras; focal length and principal point in NDC, or in pixels."""
    if in_ndc:
        focal = focal * (min(width, height) / 2)
        principal = pixels_from_ndc(principal, width, height)
    # x and y change their signs, and the rotation is that of column vectors.
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
    """R, T, focal lengths and principal points, for PyTorch3D's PerspectiveCameras.

    InputError where pixels are skewed, for which it has no place.
    """
    matrix = cameras.intrinsics
    if bool((matrix[:, 0, 1].abs() > SKEW_TOLERANCE * matrix[:, 0, 0].abs()).any()):
        raise InputError("a camera has skew, which PyTorch3D's have not: set it to 0")
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
    """PyTorch3D's FoVPerspectiveCameras; `fov` in radians, across the image's shorter side.

    `aspect_ratio` is that of pixels: by so much less the horizontal focal length is.
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
    """R and T of cameras around a point, as PyTorch3D's function of this name has them.

    The world's y is up there: elevation is the angle above the xz plane, azimuth the angle
    about y from +z towards +x; in radians here, in degrees there. Right above and below, where
    `up` leaves it open, the world's z takes its place.
    """
    at = torch.zeros(3).to(distance) if at is None else at
    up = distance.new_tensor([0.0, 1.0, 0.0]) if up is None else up
    flat = elevation.cos()
    way = torch.stack([flat * azimuth.sin(), elevation.sin(), flat * azimuth.cos()], dim=1)
    center = at + distance[:, None] * way
    forward = normalize(at - center, dim=1)
    left = torch.linalg.cross(up.expand_as(forward), forward)
    aside = torch.linalg.cross(distance.new_tensor([0.0, 0, 1]).expand_as(forward), forward)
    left = normalize(torch.where(left.norm(dim=1, keepdim=True) < 1e-6, aside, left), dim=1)
    above = torch.linalg.cross(forward, left)
    rotation = torch.stack([left, above, forward], dim=2)
    return rotation, -(rotation.mT @ center[..., None])[..., 0]

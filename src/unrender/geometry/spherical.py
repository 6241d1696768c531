"""Spherical coordinates of cameras, and upright cameras that look at a center. z is up.

Elevation is the angle above the xy plane, azimuth the angle about z from +x towards +y, both in
radians, and radius the distance from the center. Everything is computed in double precision.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from unrender.errors import InputError

ArrayLike = Any
"""A number, nested sequences of numbers, a NumPy array or a tensor."""
ORIGIN = (0.0, 0.0, 0.0)
POLE_TOLERANCE = 1e-6
"""Radians by which an elevation may exceed ±π/2, as π/2 in single precision does."""


@dataclass(frozen=True)
class Spherical:
    """Spherical coordinates of points about a center, in radians and scene units."""

    elevation: Float64[Tensor, "*batch"]
    """Above the xy plane, in [−π/2, π/2]."""
    azimuth: Float64[Tensor, "*batch"]
    """About z, from +x towards +y, in (−π, π]; 0 straight above and below the center."""
    radius: Float64[Tensor, "*batch"]
    """Distance from the center, above 0."""


def as_doubles(name: str, values: ArrayLike) -> Float64[Tensor, "..."]:
    """`values` in double precision. InputError if they are not an array of numbers."""
    try:
        if isinstance(values, Sequence) and any(isinstance(each, Tensor) for each in values):
            values = torch.stack([torch.as_tensor(each) for each in values])
        if isinstance(values, np.ndarray):  # In any byte order, mirrored or not.
            values = values.astype(np.float64)
        # Python's numbers would become single precision without the type.
        return torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: is not an array of numbers; give one") from error


def doubles(name: str, values: ArrayLike) -> Float64[Tensor, "..."]:
    """`values` in double precision. InputError if they are not finite numbers."""
    found = as_doubles(name, values)
    if not bool(found.isfinite().all()):
        raise InputError(f"{name}: contains NaN or Inf; give finite numbers")
    return found


def spherical_from_position(positions: ArrayLike, center: ArrayLike = ORIGIN) -> Spherical:
    """Spherical coordinates of positions [..., 3] about `center`, [..., 3].

    At the poles, straight above or below the center, every azimuth describes the same point: it
    is 0. InputError if a position is the center, where neither angle is defined.

    >>> found = spherical_from_position([0, 2, 2])
    >>> [round(math.degrees(each), 9) for each in (found.elevation, found.azimuth)]
    [45.0, 90.0]
    """
    points = doubles("positions", positions)
    if points.shape[-1:] != (3,):
        raise InputError(f"positions: have the shape {list(points.shape)}; give [..., 3]")
    away = points - doubles("center", center)
    x, y, z = away.unbind(-1)
    radius, ring = away.norm(dim=-1), torch.hypot(x, y)
    for k in (radius.flatten() == 0).nonzero()[:1, 0].tolist():
        raise InputError(
            f"camera {k}: is at the center, where elevation and azimuth are undefined: move "
            "it, or give another center"
        )
    azimuth = torch.where(ring == 0, torch.zeros_like(ring), torch.atan2(y, x))
    # Numbers that rounding left below 0 give −π for what is π.
    azimuth = torch.where(azimuth == -math.pi, -azimuth, azimuth)
    return Spherical(torch.atan2(z, ring), azimuth, radius)


def position_from_spherical(
    elevation: ArrayLike, azimuth: ArrayLike, radius: ArrayLike, center: ArrayLike = ORIGIN
) -> Float64[Tensor, "*batch 3"]:
    """Positions of spherical coordinates about `center`; the arguments broadcast.

    Angles are in radians. InputError unless radii are above 0 and elevations in [−π/2, π/2].

    >>> position_from_spherical(math.pi / 2, 0, 3).round(decimals=9).tolist()
    [0.0, 0.0, 3.0]
    """
    return pose_from_spherical(elevation, azimuth, radius, center)[..., 3]


def pose_from_spherical(
    elevation: ArrayLike, azimuth: ArrayLike, radius: ArrayLike, center: ArrayLike = ORIGIN
) -> Float64[Tensor, "*batch 3 4"]:
    """world_from_camera of upright cameras (OpenCV axes) that look at `center`.

    Angles are in radians, and all arguments broadcast, `center` with a last axis of 3. Upright
    means that the image's x axis is horizontal. At the poles, where that leaves the rotation
    open, it is the one that the azimuth gives: with azimuth 0 at the north pole the image's up
    direction is −x. InputError unless radii are above 0 and elevations in [−π/2, π/2].

    >>> pose_from_spherical(0, 0, 4)[:, 3].tolist()
    [4.0, 0.0, 0.0]
    """
    elevation, azimuth, radius = torch.broadcast_tensors(
        doubles("elevation", elevation), doubles("azimuth", azimuth), doubles("radius", radius)
    )
    if bool((elevation.abs() > math.pi / 2 + POLE_TOLERANCE).any()):
        worst = float(elevation.flatten()[elevation.abs().argmax()])
        raise InputError(f"elevation {worst:g}: give radians between -pi/2 and pi/2")
    if bool((radius <= 0).any()):
        raise InputError(f"radius {float(radius.min()):g}: give a length above 0")
    zero = torch.zeros_like(elevation)
    sine, cosine = elevation.sin(), elevation.cos()
    right = torch.stack([-azimuth.sin(), azimuth.cos(), zero], dim=-1)
    down = torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), -cosine], dim=-1)
    forward = -torch.stack([cosine * azimuth.cos(), cosine * azimuth.sin(), sine], dim=-1)
    eye = doubles("center", center) - radius[..., None] * forward
    right, down, forward, eye = torch.broadcast_tensors(right, down, forward, eye)
    return torch.stack([right, down, forward, eye], dim=-1)


def spherical_from_pose(world_from_camera: ArrayLike, center: ArrayLike = ORIGIN) -> Spherical:
    """Spherical coordinates of cameras' positions, of poses [..., 3, 4] or [..., 4, 4].

    This undoes `pose_from_spherical` except for the azimuth at the poles, which is 0. Only the
    positions count, so that any camera axes will do, and cameras may look anywhere. InputError
    if a camera is at `center`.
    """
    poses = doubles("poses", world_from_camera)
    if poses.ndim < 2 or tuple(poses.shape[-2:]) not in {(3, 4), (4, 4)}:
        raise InputError(
            f"poses: have the shape {list(poses.shape)}; give [..., 3, 4] or [..., 4, 4]"
        )
    return spherical_from_position(poses[..., :3, 3], center)

"""Camera positions: random ones for training sets, smooth ones for films. z is up."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at, so3_exp, so3_log

UP = (0.0, 0.0, 1.0)
UPRIGHT = math.radians(30)
"""Cameras whose mean is no farther from UP have it as their own."""
AGREEING = 0.1
"""Least length of the mean of unit vectors that agree on a direction."""


def spherical_shell(
    count: int,
    radius: tuple[float, float],
    generator: torch.Generator,
    elevation: tuple[float, float] = (-math.pi / 2, math.pi / 2),
    azimuth: tuple[float, float] = (-math.pi, math.pi),
    roll: float = 0.0,
    look_at_jitter: float = 0.0,
) -> Float[Tensor, "count 3 4"]:
    """world_from_camera of cameras that look at the origin from a spherical shell.

    Directions are uniform over the band's area and radii uniform in their range. `roll` is the
    largest turn about the optical axis, either way; `look_at_jitter` the radius of the ball in
    which the point looked at is drawn. Angles in radians, lengths in scene units. InputError if
    a range is reversed, a radius not positive, or the ball reaches the nearest camera.
    """
    if not 0 < radius[0] <= radius[1] < math.inf:
        raise InputError(
            f"radius {radius[0]:g} to {radius[1]:g}: give two lengths, 0 < low <= high"
        )
    if not -math.pi / 2 <= elevation[0] <= elevation[1] <= math.pi / 2:
        low_deg, high_deg = math.degrees(elevation[0]), math.degrees(elevation[1])
        raise InputError(
            f"elevation {low_deg:g} to {high_deg:g} degrees: give -90 <= low <= high <= 90"
        )
    if not 0 <= look_at_jitter < radius[0]:
        raise InputError(
            f"look-at jitter {look_at_jitter:g}: give at least 0 and less than {radius[0]:g}, "
            "the smallest radius"
        )
    draw = torch.rand(count, 7, generator=generator)
    low, high = math.sin(elevation[0]), math.sin(elevation[1])
    height = low + (high - low) * draw[:, 0]
    angle = azimuth[0] + (azimuth[1] - azimuth[0]) * draw[:, 1]
    distance = radius[0] + (radius[1] - radius[0]) * draw[:, 2]
    eye = distance[:, None] * _on_sphere(height, angle)
    turn = roll * (2 * draw[:, 3] - 1)
    offset = _on_sphere(2 * draw[:, 4] - 1, 2 * math.pi * draw[:, 5])
    target = look_at_jitter * draw[:, 6:7] ** (1 / 3) * offset
    return look_at(eye, target, torch.tensor(UP), turn)


def turntable(
    count: int, radius: float, elevation: float, turns: float = 1.0
) -> Float[Tensor, "count 3 4"]:
    """A circle about the z axis at a fixed elevation (radians), looking at the origin."""
    angle = torch.arange(count) / count * 2 * math.pi * turns
    height = torch.full((count,), math.sin(elevation))
    eye = radius * _on_sphere(height, angle)
    return look_at(eye, torch.zeros(count, 3), torch.tensor(UP))


def _on_sphere(
    height: Float[Tensor, "count"], azimuth: Float[Tensor, "count"]
) -> Float[Tensor, "count 3"]:
    """Points of the unit sphere by z and by the angle about z."""
    ring = (1 - height.square()).clamp_min(0).sqrt()
    return torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), height], dim=-1)


def orbit(cameras: Cameras, frames: int, elevation: float, radius: float | None) -> Cameras:
    """A circle about the point that most cameras look at, upright as they are.

    `elevation` in radians above the horizon; the cameras' mean distance if no `radius` is
    given. Sizes and intrinsics are the first camera's.
    """
    focus = focus_point(cameras)
    if radius is None:
        radius = float((cameras.centers - focus).norm(dim=1).mean())
    up = upwards(cameras)
    aside = torch.eye(3)[0 if abs(float(up[0])) < 0.9 else 1]
    aside = torch.nn.functional.normalize(aside - (aside @ up) * up, dim=0)
    turn = torch.stack([aside, torch.linalg.cross(up, aside), up], dim=1)
    poses = turn @ turntable(frames, radius, elevation)
    poses[:, :, 3] += focus
    return _as_the_first(cameras, poses)


def upwards(cameras: Cameras) -> Float[Tensor, "3"]:
    """Where up is to most cameras: z, unless they agree clearly on something else."""
    up, z = -cameras.rotations[:, :, 1].mean(0), torch.tensor(UP)
    length = float(up.norm())
    if length < AGREEING or float(up @ z) > length * math.cos(UPRIGHT):
        return z
    return up / length


def spiral(cameras: Cameras, frames: int, turns: float = 2.0, reach: float = 0.7) -> Cameras:
    """A film's way about the middle of cameras that look into one direction (LLFF).

    An ellipse as wide and high as `reach` of the cameras' spread, and half as deep, walked
    `turns` times; all look at the point that most of these look at. Sizes and intrinsics are
    the first camera's.
    """
    focus, centers = focus_point(cameras), cameras.centers
    middle = centers.mean(0)
    up = upwards(cameras)
    forward = torch.nn.functional.normalize(focus - middle, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    axes = torch.stack([right, torch.linalg.cross(right, forward), forward])
    spread = reach * ((centers - middle) @ axes.T).abs().quantile(0.9, dim=0)
    angle = torch.linspace(0, 2 * math.pi * turns, frames + 1)[:-1]
    depth = 0.5 * spread[2] * (angle / turns).sin()
    way = torch.stack([spread[0] * angle.cos(), spread[1] * angle.sin(), depth], dim=1)
    places = middle + way @ axes
    return _as_the_first(cameras, look_at(places, focus.expand_as(places), up))


def through(cameras: Cameras, frames: int) -> Cameras:
    """A path through all cameras in their order, `frames` of them evenly spaced along it.

    Centers are interpolated linearly and rotations along the geodesic between neighbouring
    cameras. Sizes and intrinsics are the first camera's.
    """
    position = torch.linspace(0, len(cameras) - 1, frames)
    first = position.floor().long().clamp_max(max(len(cameras) - 2, 0))
    second = (first + 1).clamp_max(len(cameras) - 1)
    share = (position - first)[:, None]
    start, end = cameras.rotations[first], cameras.rotations[second]
    rotations = start @ so3_exp(share * so3_log(start.mT @ end))
    centers = torch.lerp(cameras.centers[first], cameras.centers[second], share)
    return _as_the_first(cameras, torch.cat([rotations, centers[..., None]], dim=2))


def _as_the_first(cameras: Cameras, poses: Float[Tensor, "count 3 4"]) -> Cameras:
    """Cameras at other poses, of the first one's size and intrinsics."""
    matrix = cameras.intrinsics[:1].expand(len(poses), 3, 3)
    return Cameras(poses, matrix, cameras.width, cameras.height)

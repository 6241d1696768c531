"""Camera paths: random poses for training sets and smooth ones for videos. z is up."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.bounds import are_parallel, focus_point
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import UP, Coverage, coverage, upwards
from unrender.geometry.nearest_views import camera_distances
from unrender.geometry.poses import look_at, project_to_so3, so3_exp, so3_log

ELEVATION = math.radians(30)
"""Elevation of a turntable, where cameras were there, in radians above the horizon."""
NEARBY = math.radians(20)
"""Angle within which cameras determine how high and how far away a turntable passes them."""
NEIGHBORS = 5
"""Cameras nearest to one, between which and itself random poses lie."""
MAX_BETWEEN = 1024
"""Cameras between which random poses lie, at most: evenly spaced ones of more."""
MARGIN = 0.05
"""Fraction of a photographed arc at either end that a turntable leaves out."""


def evenly(count: int, total: int) -> list[int]:
    """At most `count` evenly spaced indices below `total`, with the first and the last."""
    return torch.linspace(0, total - 1, min(count, total)).round().long().tolist()


def spread_out(cameras: Cameras, count: int, first: int = 0) -> list[int]:
    """Indices of at most `count` cameras whose places and axes are far apart, in order.

    Each next camera is the one farthest from all chosen before, beginning with `first`, so that
    those of a smaller count are among those of a larger one.
    """
    centers = cameras.centers - cameras.centers.mean(0)
    reach = centers.norm(dim=1).mean().clamp_min(1e-9)
    places = torch.cat([centers / reach, cameras.rotations[:, :, 2]], dim=1)
    chosen, distance = [first], torch.full((len(cameras),), torch.inf)
    while len(chosen) < min(count, len(cameras)):
        distance = distance.minimum((places - places[chosen[-1]]).norm(dim=1))
        chosen.append(int(distance.argmax()))
    return sorted(set(chosen))


def spherical_shell(
    count: int,
    radius: tuple[float, float],
    generator: torch.Generator,
    elevation: tuple[float, float] = (-math.pi / 2, math.pi / 2),
    azimuth: tuple[float, float] = (-math.pi, math.pi),
    roll: float = 0.0,
    look_at_jitter: float = 0.0,
) -> Float[Tensor, "count 3 4"]:
    """world_from_camera of random cameras on a spherical shell that look at the origin.

    Directions are uniform over the area of the elevation and azimuth ranges, and radii are
    uniform in their range. Cameras are rotated about their optical axis by a uniform angle in
    [−roll, roll], and their targets are uniform in a ball of radius `look_at_jitter`. Angles
    are in radians, lengths in scene units. InputError if a range is reversed, a radius is not
    positive, or the ball reaches the nearest camera.
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
    uniform = torch.rand(count, 7, generator=generator)
    low, high = math.sin(elevation[0]), math.sin(elevation[1])
    height = low + (high - low) * uniform[:, 0]
    angle = azimuth[0] + (azimuth[1] - azimuth[0]) * uniform[:, 1]
    distance = radius[0] + (radius[1] - radius[0]) * uniform[:, 2]
    eye = distance[:, None] * _on_sphere(height, angle)
    turn = roll * (2 * uniform[:, 3] - 1)
    offset = _on_sphere(2 * uniform[:, 4] - 1, 2 * math.pi * uniform[:, 5])
    target = look_at_jitter * uniform[:, 6:7] ** (1 / 3) * offset
    return look_at(eye, target, torch.tensor(UP), turn)


def between(
    cameras: Cameras, count: int, generator: torch.Generator, roll: float = 0.0
) -> Float[Tensor, "count 3 4"]:
    """Random poses among given cameras: new views from where there are photographs.

    Each is a random mean of a camera and two of its five nearest neighbors: of the centers'
    directions and distances from the focus point, and of the rotations. Cameras are then
    rotated about their optical axis by a uniform angle in [−roll, roll].
    """
    if len(cameras) > MAX_BETWEEN:
        cameras = cameras.select(torch.tensor(evenly(MAX_BETWEEN, len(cameras))))
    focus, total = focus_point(cameras), len(cameras)
    away = cameras.centers - focus
    distance = away.norm(dim=1, keepdim=True).clamp_min(1e-12)
    apart = camera_distances(cameras, cameras, focus)
    near = apart.topk(min(NEIGHBORS + 1, total), largest=False).indices
    first = torch.randint(total, (count,), generator=generator)
    # The nearest is the camera itself.
    order = torch.rand(count, near.shape[1], generator=generator)
    order[:, 0] = -1
    corners = near[first].gather(1, order.argsort(1)[:, :3])
    weights = -torch.rand(count, corners.shape[1], generator=generator).clamp_min(1e-9).log()
    weights = (weights / weights.sum(1, keepdim=True))[..., None]
    direction = (weights * (away / distance)[corners]).sum(1)
    centers = torch.nn.functional.normalize(direction, dim=1) * (
        weights * distance[corners]
    ).sum(1)
    rotations = project_to_so3((weights[..., None] * cameras.rotations[corners]).sum(1))
    turn = roll * (2 * torch.rand(count, generator=generator) - 1)
    about_axis = torch.stack([torch.zeros(count), torch.zeros(count), turn], dim=1)
    return torch.cat([rotations @ so3_exp(about_axis), (focus + centers)[..., None]], dim=2)


def turntable(
    count: int, radius: float, elevation: float, turns: float = 1.0
) -> Float[Tensor, "count 3 4"]:
    """Poses on a circle about z at an elevation in radians, looking at the origin."""
    angle = torch.arange(count) / count * 2 * math.pi * turns
    height = torch.full((count,), math.sin(elevation))
    eye = radius * _on_sphere(height, angle)
    return look_at(eye, torch.zeros(count, 3), torch.tensor(UP))


def _on_sphere(
    height: Float[Tensor, "count"], azimuth: Float[Tensor, "count"]
) -> Float[Tensor, "count 3"]:
    """Points of the unit sphere, given z and the angle about the z axis."""
    ring = (1 - height.square()).clamp_min(0).sqrt()
    return torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), height], dim=-1)


def orbit(
    cameras: Cameras, frames: int, elevation: float | None = None, radius: float | None = None
) -> Cameras:
    """A turntable about the cameras' focus point, on the side from which they look.

    Where cameras stand all around it is a circle, and otherwise it swings there and back
    within their arc. By default it is at 30° or the nearest elevation of a camera, and at the
    mean distance; where cameras are at different distances or stand on one side, it follows
    the elevations and distances of those nearby. `elevation` (radians above their horizon) and
    `radius` are obeyed. Image size and intrinsics are those of a typical camera.
    """
    side = coverage(cameras)
    low, high = float(side.elevations.min()), float(side.elevations.max())
    level = min(max(ELEVATION, low), high) if elevation is None else elevation
    if side.surrounds and (side.even or radius is not None):
        distance = float(side.distances.mean()) if radius is None else radius
        poses = turntable(frames, distance, level)
    else:
        turned = torch.arange(frames) / frames * 2 * math.pi
        if not side.surrounds:
            swing = MARGIN + (1 - 2 * MARGIN) * (1 - turned.cos()) / 2
            turned = side.start + side.arc * swing
        heights, distances = _nearby(side, turned, level)
        if elevation is not None:
            heights = torch.full_like(heights, elevation)
        if radius is not None:
            distances = torch.full_like(distances, radius)
        eyes = distances[:, None] * _on_sphere(heights.sin(), turned)
        poses = look_at(eyes, torch.zeros(frames, 3), torch.tensor(UP))
    poses = side.axes @ poses
    poses[:, :, 3] += side.center
    return _with_typical_intrinsics(cameras, poses)


def _nearby(
    side: Coverage, azimuth: Float[Tensor, "frames"], elevation: float
) -> tuple[Float[Tensor, "frames"], Float[Tensor, "frames"]]:
    """Elevations and distances of cameras near these azimuths and this elevation, averaged."""
    across = (side.azimuths - azimuth[:, None]).cos() - 1
    along = (side.elevations - elevation).square() / 2
    weights = ((across - along) / NEARBY**2).softmax(1)
    return weights @ side.elevations, weights @ side.distances


def spiral(cameras: Cameras, frames: int, turns: float = 2.0, reach: float = 0.7) -> Cameras:
    """A spiral video path about the mean of forward-facing cameras (LLFF).

    It follows an ellipse `turns` times, whose width and height are the fraction `reach` of the
    cameras' spread, with half of that in depth. All poses look at the cameras' focus point; of
    parallel cameras, as of a light field, in their direction. Image size and intrinsics are
    those of a typical camera.
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
    offsets = torch.stack([spread[0] * angle.cos(), spread[1] * angle.sin(), depth], dim=1)
    eyes = middle + offsets @ axes
    if are_parallel(cameras):
        turned = cameras.rotations[:1].expand(frames, 3, 3)
        return _with_typical_intrinsics(cameras, torch.cat([turned, eyes[..., None]], dim=2))
    return _with_typical_intrinsics(cameras, look_at(eyes, focus.expand_as(eyes), up))


def through(cameras: Cameras, frames: int) -> Cameras:
    """A path through all cameras in their order, `frames` of them evenly spaced along it.

    Centers are interpolated linearly and rotations along the geodesic between neighboring
    cameras. Sizes and intrinsics are those of a typical camera. Cameras with times are passed
    in the order of these, which are interpolated too.
    """
    if cameras.times is not None:
        cameras = cameras.select(cameras.times.argsort(stable=True))
    position = torch.linspace(0, len(cameras) - 1, frames)
    first = position.floor().long().clamp_max(max(len(cameras) - 2, 0))
    second = (first + 1).clamp_max(len(cameras) - 1)
    share = (position - first)[:, None]
    start, end = cameras.rotations[first], cameras.rotations[second]
    rotations = start @ so3_exp(share * so3_log(start.mT @ end))
    centers = torch.lerp(cameras.centers[first], cameras.centers[second], share)
    poses = torch.cat([rotations, centers[..., None]], dim=2)
    path = _with_typical_intrinsics(cameras, poses)
    if cameras.times is None:
        return path
    return path.at_times(
        torch.lerp(cameras.times[first], cameras.times[second], share[:, 0].to(cameras.times))
    )


def filmed(cameras: Cameras) -> bool:
    """Whether cameras with times are those of a film: each is near the one before it.

    Half of the steps from one moment to the next are then shorter than half the median
    distance between cameras of any two moments. One camera, and cameras that stand still, are
    filmed.
    """
    assert cameras.times is not None, "cameras without times film nothing"
    centers = cameras.centers[cameras.times.argsort(stable=True)]
    if len(centers) < 3:
        return True
    centers = centers[evenly(MAX_BETWEEN, len(centers))]
    steps = centers.diff(dim=0).norm(dim=1).median()
    return bool(steps <= torch.pdist(centers).median() / 2)


def typical_camera(cameras: Cameras) -> Cameras:
    """The camera with the median focal length."""
    return cameras[int(cameras.focal.median(dim=0).indices)]


def _with_typical_intrinsics(cameras: Cameras, poses: Float[Tensor, "count 3 4"]) -> Cameras:
    """Cameras at new poses with the size and intrinsics of a typical camera."""
    like = typical_camera(cameras)
    return Cameras(poses, like.intrinsics.expand(len(poses), 3, 3), *like.sizes[0])

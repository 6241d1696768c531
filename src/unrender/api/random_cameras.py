"""Random cameras from where a run's training cameras look, and square images of cameras."""

from math import radians
from typing import Any

import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry import paths
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import coverage


def random_cameras(
    run: Any,
    count: int,
    size: int,
    radius: tuple[float, float] | None,
    elevation: tuple[float, float] | None,
    roll: float,
    look_at_jitter: float,
    seed: int,
) -> Cameras:
    """Random cameras from where a run's training cameras look; see `Run.make_views`.

    On the sphere of training cameras that look at the origin from all around. Of a capture,
    they are between neighboring training cameras, or, where ranges are given, about the point
    at which these look, in the arc where they stand. A scene that moves is at a random time of
    its film in each.
    """
    for name, value in (("count", count), ("size", size)):
        if value < 1:
            raise InputError(f"{name} {value}: give at least 1")
    if not run.method.makes_images:
        raise InputError(f"{run.label}: makes no images")
    known = run.record.cameras
    side = None if known is None else coverage(known.cameras)
    generator = torch.Generator().manual_seed(seed)
    ranges = None if elevation is None else (radians(elevation[0]), radians(elevation[1]))
    if known is None or side is None or side.on_sphere:
        low, high = run.view_ranges["elevation_deg"]
        poses = paths.spherical_shell(
            count,
            radius or tuple(run.view_ranges["radius"]),
            generator,
            ranges or (radians(low), radians(high)),
            roll=radians(roll),
            look_at_jitter=look_at_jitter,
        )
        return _at_random_times(square(run.training_like(poses), size), run, generator)
    if radius is None and ranges is None and not look_at_jitter:
        poses = paths.between(known.cameras, count, generator, radians(roll))
    else:
        poses = paths.spherical_shell(
            count,
            radius or _range(side.distances),
            generator,
            ranges or _range(side.elevations),
            (side.start, side.start + side.arc),
            radians(roll),
            look_at_jitter,
        )
        poses = side.axes @ poses
        poses[:, :, 3] += side.center
    like = paths.typical_camera(known.cameras)
    matrix = like.intrinsics.expand(count, 3, 3)
    cameras = square(Cameras(poses, matrix, *like.sizes[0]), size)
    return _at_random_times(cameras, run, generator)


def _at_random_times(cameras: Cameras, run: Any, generator: torch.Generator) -> Cameras:
    if not run.method.moves:
        return cameras
    first, last = run.method.time_range(run.model)
    share = torch.rand(len(cameras), generator=generator)
    return cameras.at_times((first + (last - first) * share).clamp(first, last))


def _range(values: Tensor) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def square(cameras: Cameras, size: int) -> Cameras:
    """Square images with the optical axis in their middle: the largest that fit in these."""
    resized = cameras.resized(size, size)
    side = min(cameras.width, cameras.height)
    focal = float(cameras.focal[0]) * size / side
    plain = Cameras.from_focal(cameras.world_from_camera, focal, size, size)
    same = torch.allclose(plain.intrinsics, resized.intrinsics, rtol=1e-5, atol=1e-3)
    return resized if same else plain.at_times(cameras.times)

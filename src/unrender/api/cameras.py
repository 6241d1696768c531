"""Camera paths of the front door: around what is rendered, or through given cameras."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import radians
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.data.origin import HERE, Origin
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.pose_flow import PoseFlow
from unrender.geometry import paths
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import coverage
from unrender.geometry.sizes import ImageSizes
from unrender.rendering.shapes import cameras_around
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.splats import Splats
from unrender.shapes.voxels import VoxelGrid

MAX_SIDE = 8192
"""Pixels of the longer side of a rendered image, at most."""
ELEVATION = 30.0
SHAPE_ELEVATION = 20.0
"""Degrees above the horizon, by default, around what a pose flow was trained on and shapes."""


@dataclass(frozen=True)
class CameraPath:
    """Cameras that are placed once it is known what they look at.

    `unrender.render` and `Run.render` take one; `cameras(like)` places it.

    >>> import unrender as ur
    >>> ur.turntable(30)
    CameraPath(turntable, 30 frames)
    """

    kind: str
    frames: int
    place: Callable[[Any], Cameras]

    def cameras(self, like: Any) -> Cameras:
        """The cameras around a run, a dataset, views, cameras or a shape. InputError.

        >>> import unrender as ur
        >>> ur.turntable(30).cameras(ur.Mesh.torus())
        Cameras(30 × 256×256, fov 30.0°)
        """
        return self.place(like)

    def __len__(self) -> int:
        return self.frames

    def __repr__(self) -> str:
        return f"CameraPath({self.kind}, {self.frames} frames)"


def turntable(
    frames: int = 60,
    *,
    elevation: float | None = None,
    radius: float | None = None,
    like: Any = None,
) -> CameraPath:
    """A circle around the scene or the shape, upright as the training cameras are.

    Where the training cameras stand on one side only, it swings there and back within that
    side; where their distances differ, it follows the elevations and distances of those nearby.

    Args:
        frames: Number of cameras.
        elevation: Degrees above the horizon; by default 30 or the nearest elevation of a
            training camera, and 20 around a shape.
        radius: Distance from the center; by default the training cameras' distance, or that
            from which all of a shape is visible.
        like: A dataset, run, views, cameras or shape to circle around; by default what is
            rendered.

    Raises InputError for fewer than one frame or a radius that is not positive.

    >>> import unrender as ur
    >>> torus = ur.Mesh.torus()
    >>> len(ur.turntable(8).cameras(torus))
    8
    """
    _check_frames(frames)
    if radius is not None and not 0 < radius < math.inf:
        raise InputError(f"radius {radius}: give a positive length")

    def place(target: Any) -> Cameras:
        about = target if like is None else like
        if isinstance(about, Splats):
            about = about.middle()
        if isinstance(about, Mesh | PointCloud | VoxelGrid):
            angle = radians(SHAPE_ELEVATION if elevation is None else elevation)
            return cameras_around(about, frames, elevation=angle, radius=radius)
        model = getattr(about, "model", None)
        if isinstance(model, PoseFlow) and not _looks_at_origin(model):
            level = None if elevation is None else radians(elevation)
            return paths.orbit(model.training_cameras.to("cpu"), frames, level, radius)
        size = getattr(about, "image_size", None)
        if size is not None:  # A pose flow knows only cameras that look at the origin.
            angle = radians(ELEVATION if elevation is None else elevation)
            low, high = about.view_ranges["radius"]
            poses = paths.turntable(frames, radius or (low + high) / 2, angle)
            return about.training_like(poses)
        level = None if elevation is None else radians(elevation)
        return paths.orbit(_known(about), frames, level, radius)

    return CameraPath("turntable", frames, place)


def spiral(frames: int = 60, *, turns: float = 2.0, like: Any = None) -> CameraPath:
    """An ellipse about the mean of cameras that look in one direction (LLFF).

    Args:
        frames: Number of cameras.
        turns: How often the ellipse is traversed.
        like: A dataset, run, views or cameras; by default the run that is rendered.

    >>> import unrender as ur
    >>> len(ur.spiral(8).cameras(ur.load("bricks", downscale=8)))
    8
    """
    _check_frames(frames)

    def place(target: Any) -> Cameras:
        return paths.spiral(_known(target if like is None else like), frames, turns)

    return CameraPath("spiral", frames, place)


def interpolate(frames: int = 60, *, like: Any = None) -> CameraPath:
    """A smooth path through the training cameras in their order.

    Args:
        frames: Number of cameras.
        like: A dataset, run, views or cameras; by default the run that is rendered.

    >>> import unrender as ur
    >>> len(ur.interpolate(12).cameras(ur.load("bricks", downscale=8).train[:4]))
    12
    """
    _check_frames(frames)

    def place(target: Any) -> Cameras:
        return paths.through(_known(target if like is None else like), frames)

    return CameraPath("interpolation", frames, place)


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
    at which these look, in the arc where they stand.
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
        return square(run.training_like(poses), size)
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
    return square(Cameras(poses, matrix, *like.sizes[0]), size)


def _range(values: Tensor) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def film(frames: int = 60) -> CameraPath:
    """The path that suits the cameras: a spiral if they all look one way, else a turntable."""
    _check_frames(frames)

    def place(target: Any) -> Cameras:
        known = getattr(target, "image_size", None) is None
        shape = isinstance(target, Mesh | PointCloud | VoxelGrid | Splats)
        one_way = known and not shape and coverage(_known(target)).one_way
        return (spiral if one_way else turntable)(frames).cameras(target)

    return CameraPath("film", frames, place)


def path_by_name(
    name: str,
    frames: int,
    elevation: float | None = None,
    radius: float | None = None,
    origin: Origin = HERE,
) -> "CameraPath | Cameras | str":
    """What the command line names: a path, "test" for the held-out views, or a file.

    `origin` is that of the run, which is subtracted from the positions in a file.
    """
    if name == "auto":
        chosen = elevation is None and radius is None
        return film(frames) if chosen else turntable(frames, elevation=elevation, radius=radius)
    if name == "turntable":
        return turntable(frames, elevation=elevation, radius=radius)
    if name == "spiral":
        return spiral(frames)
    if name == "interpolate":
        return interpolate(frames)
    return name if name == "test" else read_cameras(Path(name), origin).cameras


def as_cameras(
    cameras: object, target: Any, size: int | tuple[int, int] | None = None
) -> Cameras:
    """The cameras to render `target` from, at a size. InputError."""
    found = cameras.cameras(target) if isinstance(cameras, CameraPath) else cameras
    if not isinstance(found, Cameras):
        raise InputError(
            f"{type(cameras).__name__}: is not cameras: give Cameras, or a path such as "
            "unrender.turntable(60)"
        )
    return resized(found, size, getattr(target, "image_size", None))


def resized(
    cameras: Cameras, size: int | tuple[int, int] | None, fixed: int | None = None
) -> Cameras:
    """Cameras with `size` pixels on the longer side, or (width, height). InputError.

    `fixed` is the only size that a pose flow renders.
    """
    if fixed is not None:
        if size not in (None, fixed, (fixed, fixed)):
            raise InputError(f"size {size}: this pose flow renders {fixed}×{fixed} pixels only")
        return cameras.resized(fixed, fixed)
    if size is None:
        return cameras
    if isinstance(size, int):
        both, sizes = (size, size), cameras.sizes.with_longer_side(max(1, size))
    else:
        both, sizes = size, ImageSizes.of([size])
    if not all(1 <= side <= MAX_SIDE for side in both):
        raise InputError(f"size {size}: give 1 to {MAX_SIDE} pixels")
    return cameras.with_sizes(sizes)


def square(cameras: Cameras, size: int) -> Cameras:
    """Square images with the optical axis in their middle: the largest that fit in these."""
    resized = cameras.resized(size, size)
    side = min(cameras.width, cameras.height)
    focal = float(cameras.focal[0]) * size / side
    plain = Cameras.from_focal(cameras.world_from_camera, focal, size, size)
    same = torch.allclose(plain.intrinsics, resized.intrinsics, rtol=1e-5, atol=1e-3)
    return resized if same else plain


def _looks_at_origin(model: PoseFlow) -> bool:
    """Whether a flow was trained on cameras that look at the origin from all around."""
    side = coverage(model.training_cameras.to("cpu"))
    return side.surrounds and side.centered and side.inwards


def _known(about: Any) -> Cameras:
    """The cameras that a path follows."""
    if isinstance(about, Cameras):
        return about
    if isinstance(about, Dataset):
        return about.train.cameras
    if isinstance(about, Views):
        return about.cameras
    if isinstance(about, Mesh | PointCloud | VoxelGrid):
        raise InputError("a shape has no training cameras: use a turntable, or give cameras")
    found = getattr(about, "cameras", None)
    if isinstance(found, Cameras):
        return found
    raise InputError(
        f"{type(about).__name__}: has no cameras: give a Dataset, a Run, Views or Cameras"
    )


def _check_frames(frames: int) -> None:
    if frames < 1:
        raise InputError(f"frames {frames}: give at least 1")

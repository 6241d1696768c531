"""Camera paths of the front door: around what is rendered, or through given cameras."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import radians
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.data.origin import HERE, Origin
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.pose_flow import PoseFlow
from unrender.geometry import paths
from unrender.geometry.cameras import Cameras, times_in_words
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

    `unrender.render` and `Run.render` take one; `cameras(like)` places it. Around a scene that
    moves, time runs from the first to the last frame, through the whole film.

    >>> import unrender as ur
    >>> ur.turntable(30)
    CameraPath(turntable, 30 frames)
    """

    kind: str
    frames: int
    place: Callable[[Any], Cameras]
    times: Float[Tensor, "frames"] | None = None
    """When a moving scene is shown; None for the whole film."""

    def at_times(self, times: float | int | Sequence[float] | Tensor) -> "CameraPath":
        """The same path around a scene that stands still at one time, or has a time a frame.

        Times are in the unit of the training views' times. InputError if there are not as many
        as frames.

        >>> import torch
        >>> import unrender as ur
        >>> ur.turntable(30).at_times(0.5)
        CameraPath(turntable, 30 frames, time 0.5)
        >>> ur.interpolate(30).at_times(torch.linspace(0.2, 0.4, 30))
        CameraPath(interpolation, 30 frames, times 0.2 to 0.4)
        """
        given = torch.as_tensor(times, dtype=torch.float32)
        if given.ndim and given.shape != (self.frames,):
            raise InputError(
                f"{len(given)} times for {self.frames} frames: give one for each, or one alone"
            )
        if not bool(given.isfinite().all()):
            raise InputError("the times contain NaN or Inf: give finite numbers")
        return dataclasses.replace(self, times=given.expand(self.frames))

    def cameras(self, like: Any) -> Cameras:
        """The cameras around a run, a dataset, views, cameras or a shape. InputError.

        >>> import unrender as ur
        >>> ur.turntable(30).cameras(ur.Mesh.torus())
        Cameras(30 × 256×256, fov 30.0°)
        """
        placed = self.place(like)
        return placed if self.times is None else placed.at_times(self.times)

    def __len__(self) -> int:
        return self.frames

    def __repr__(self) -> str:
        when = "" if self.times is None else f", {times_in_words(self.times)}"
        return f"CameraPath({self.kind}, {self.frames} frames{when})"


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
        known = _known(about)
        return _through_film(paths.orbit(known, frames, level, radius), known)

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
        known = _known(target if like is None else like)
        return _through_film(paths.spiral(known, frames, turns), known)

    return CameraPath("spiral", frames, place)


def interpolate(frames: int = 60, *, like: Any = None) -> CameraPath:
    """A smooth path through the training cameras in their order: of a film, as it was filmed.

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


def still(frames: int, view: int) -> CameraPath:
    """The camera of a training view, by its number, which stands still while time runs."""
    _check_frames(frames)

    def place(target: Any) -> Cameras:
        known = _known(target)
        if not 0 <= view < len(known):
            raise InputError(f"camera {view}: give the number of a view, 0 to {len(known) - 1}")
        camera = known[view]
        chosen = camera.select(torch.zeros(frames, dtype=torch.long)).at_times(None)
        return _through_film(chosen, known)

    return CameraPath("still camera", frames, place)


def film(frames: int = 60, stopped: bool = False) -> CameraPath:
    """The path that suits the cameras: as filmed, a spiral if all look one way, or a turntable.

    Of a scene that moves, and is not `stopped` at one time, it is the training cameras' own
    path, if each of these is near the one before it.
    """
    _check_frames(frames)

    def place(target: Any) -> Cameras:
        a_flow = getattr(target, "image_size", None) is not None
        if a_flow or isinstance(target, Mesh | PointCloud | VoxelGrid | Splats):
            return turntable(frames).cameras(target)
        known = _known(target)
        if known.times is not None and not stopped and paths.filmed(known):
            return interpolate(frames).cameras(known)
        return (spiral if coverage(known).one_way else turntable)(frames).cameras(target)

    return CameraPath("film", frames, place)


def _through_film(cameras: Cameras, known: Cameras) -> Cameras:
    """The cameras at evenly spaced times, from the first to the last of those known."""
    if known.times is None:
        return cameras
    first, last = map(float, known.times.aminmax())
    return cameras.at_times(torch.linspace(first, last, len(cameras)))


def path_by_name(
    name: str,
    frames: int,
    elevation: float | None = None,
    radius: float | None = None,
    origin: Origin = HERE,
    stopped: bool = False,
) -> "CameraPath | Cameras | str":
    """What the command line names: a path, "test" for the held-out views, or a file.

    `origin` is that of the run, which is subtracted from the positions in a file; `stopped` is
    whether time stands still.
    """
    if name == "auto" and elevation is None and radius is None:
        return film(frames, stopped)
    if name == "auto":
        return turntable(frames, elevation=elevation, radius=radius)
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
    check_times(found, target, isinstance(cameras, CameraPath) and cameras.times is not None)
    return resized(found, size, getattr(target, "image_size", None))


def check_times(cameras: Cameras, target: Any, chosen: bool = False) -> None:
    """InputError for times that a moving scene lacks or that are outside its film.

    A scene that does not move looks the same at the times of any camera, and refuses those that
    were `chosen` for it.
    """
    method = getattr(target, "method", None)
    if method is None or not method.moves:
        if chosen:
            raise InputError("a time needs a scene that moves, and this one does not: omit it")
        return
    if cameras.times is None:
        first, last = method.time_range(target.model)
        raise InputError(
            "the scene moves, and the cameras have no times: give them some of its film, "
            f"{first:g} to {last:g}, with at_times"
        )
    if not bool(cameras.times.isfinite().all()):
        raise InputError("the cameras' times contain NaN or Inf: give finite numbers")
    # The method knows how far beyond the film's ends it serves.
    for time in map(float, cameras.times.aminmax() if len(cameras) else ()):
        method.deform(target.model, torch.zeros(1, 3, device=target.device), time)


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

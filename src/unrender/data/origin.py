"""Coordinates far from the origin, as in UTM or ECEF: recentred before the cast to float32.

In float32 a number of 4.5 million has steps of half a unit. A data set whose cameras stand much
farther from the origin than from one another is therefore moved in double precision, all its
splits alike, and remembers the origin that it was given.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.notes import note

Origin = tuple[float, float, float]
HERE: Origin = (0.0, 0.0, 0.0)
FAR = 1000.0
"""Distance from the origin over the spread of the cameras, from which on data are recentred.

At this ratio float32 resolves about 1e-4 of the spread.
"""
FARTHER_THAN = 100.0
"""Data nearer to the origin than this, in their units, are left alone: their cameras may all
stand at one place."""


@dataclass
class _Reading:
    """A data set that is being read."""

    label: str
    origin: Origin | None = None
    """None until the first cameras are known."""


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def one_origin(label: str) -> Generator[Callable[[], Origin]]:
    """All cameras and points that are read inside get one origin, which the value returns.

    `label` names the data in the note that says so.
    """
    reading = _Reading(label)
    token = _reading.set(reading)
    try:
        yield lambda: reading.origin or HERE
    finally:
        _reading.reset(token)


def find_origin(centers: Float[Tensor, "cameras 3"]) -> Origin:
    """Whole numbers near the mean of the cameras if they are far from the origin, else 0, 0, 0.

    `centers` in double precision; those that are not finite are left out.
    """
    finite = centers[centers.isfinite().all(1)].double()
    if len(finite) == 0:
        return HERE
    middle = finite.mean(0)
    distance = float(middle.norm())
    spread = float((finite - middle).norm(dim=1).max())
    # Numbers that large are damage, which the checks of poses refuse.
    if not max(FARTHER_THAN, FAR * spread) < distance < 1e12:
        return HERE
    x, y, z = middle.round().tolist()
    return x, y, z


def recentred_cameras(
    poses: Float[Tensor, "poses rows 4"], camera_from_world: bool = False
) -> Float[Tensor, "poses rows 4"]:
    """World-from-camera poses about the origin of the data set that is being read.

    The same poses where that is at 0, 0, 0, or where no data set is being read.
    """
    reading = _reading.get()
    if reading is None:
        return poses
    rotation, shift = poses[:, :3, :3].double(), poses[:, :3, 3].double()
    if reading.origin is None:
        centers = -(rotation.mT @ shift[..., None])[..., 0] if camera_from_world else shift
        reading.origin = find_origin(centers)
        if reading.origin != HERE:
            note(
                f"{reading.label}: is far from the origin of its coordinates: "
                f"{in_words(reading.origin)} is subtracted, and kept as `origin`"
            )
    if reading.origin == HERE:
        return poses
    origin = torch.tensor(reading.origin, dtype=torch.float64)
    moved = poses.double().clone()
    moved[:, :3, 3] = shift + rotation @ origin if camera_from_world else shift - origin
    return moved


def recentred_points(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """Points about the origin that the cameras of the same data set have been given."""
    reading = _reading.get()
    if reading is None or reading.origin in (None, HERE):
        return points
    return points.double() - torch.tensor(reading.origin, dtype=torch.float64)


def in_words(origin: Origin) -> str:
    """The three numbers, without an exponent."""
    return ", ".join(f"{x:.15g}" for x in origin)

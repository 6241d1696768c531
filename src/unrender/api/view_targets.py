"""From where novel views are seen: paths around an object, angles from an input, and checks."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.cameras import CameraPath
from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upright_axes
from unrender.geometry.spherical import pose_from_spherical, spherical_from_position

RING = 12
"""Cameras about an object, which stand for the paths around one photograph."""
ASIDE, ABOVE = math.radians(20), math.radians(10)
"""How far a spiral about one photograph goes, in azimuth and in elevation."""


def offsets(azimuths: Sequence[float | int], elevations: Sequence[float | int]) -> CameraPath:
    """Cameras at these angles in degrees from the first input, about the object's center.

    For each elevation, one for each azimuth, at the distance of the input and upright; azimuths
    increase counterclockwise as seen from above. InputError for elevations past the pole.

    >>> offsets([0, 90, 180], [0])
    CameraPath(offsets, 3 frames)
    """
    turns, rises = tuple(azimuths) or (0,), tuple(elevations) or (0,)

    def place(about: Any) -> Cameras:
        pairs = [(math.radians(turn), math.radians(rise)) for rise in rises for turn in turns]
        return moved(about.cameras[0], object_ball(about)[:3], pairs)

    return CameraPath("offsets", len(turns) * len(rises), place)


def moved(
    camera: Cameras, center: Float[Tensor, "3"], angles: Sequence[tuple[float, float]]
) -> Cameras:
    """A camera moved about `center` by azimuths and elevations in radians, and made upright."""
    axes = upright_axes(camera).double()
    local = (camera.centers[0] - center).double() @ axes
    start = spherical_from_position(local)
    turn, rise = torch.tensor(angles, dtype=torch.float64).T
    level = start.elevation + rise
    if bool((level.abs() > math.pi / 2 + 1e-6).any()):
        worst = math.degrees(float(level[level.abs().argmax()]))
        raise InputError(
            f"--elevations: one would be {worst:.0f}° above the horizon, past the pole: the "
            f"input is at {math.degrees(float(start.elevation)):.0f}°: give less"
        )
    half_pi = math.pi / 2
    poses = pose_from_spherical(
        level.clamp(-half_pi, half_pi), start.azimuth + turn, start.radius
    )
    poses = axes @ poses
    poses[:, :, 3] += center.double()
    count = len(angles)
    return Cameras(poses.float(), camera.intrinsics.expand(count, 3, 3), *camera.sizes[0])


def placed(path: CameraPath, known: Views, all_around: bool = False) -> Cameras:
    """The cameras of a path about what posed views show.

    A single view, and photographs of an object, which are `all_around`, stand for cameras
    around it at the elevation of the first: a turntable is a whole turn, and a spiral goes up
    to 20° to the sides.
    """
    if path.kind == "offsets":
        return path.cameras(known)
    several = len(known) > 1
    if several and (path.kind == "interpolation" or not all_around):
        return path.cameras(known)
    if path.kind == "interpolation":
        raise InputError(
            "--cameras interpolate: there is one input and nothing between it: give turntable"
        )
    center, first = object_ball(known)[:3], known.cameras[0]
    if path.kind == "spiral":
        sides = [(a * ASIDE, e * ABOVE) for a in (-1, 0, 1) for e in (-1, 0, 1)]
        sides = _below_poles(first, center, sides)
        return path.cameras(moved(first, center, sides))
    ring = [(2 * math.pi * k / RING, 0.0) for k in range(RING)]
    return path.cameras(moved(first, center, ring))


def _below_poles(
    camera: Cameras, center: Float[Tensor, "3"], angles: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Angles whose elevations stay a little below the poles."""
    local = (camera.centers[0] - center) @ upright_axes(camera)
    level = float(spherical_from_position(local).elevation)
    most = math.pi / 2 - 0.01
    return [(turn, min(max(level + rise, -most), most) - level) for turn, rise in angles]


def check_outside(targets: Cameras, ball: Float[Tensor, "4"]) -> None:
    """InputError for a target camera inside the object."""
    distance = (targets.centers - ball[:3]).norm(dim=1)
    for k in (distance <= ball[3]).nonzero()[:1, 0].tolist():
        x, y, z = (f"{value:.3g}" for value in ball[:3].tolist())
        raise InputError(
            f"camera {k}: is inside the object, {float(distance[k]):.3g} from its center "
            f"({x}, {y}, {z}), whose radius is {float(ball[3]):.3g}: move it away"
        )

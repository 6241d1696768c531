"""From which side cameras look at a scene: the arc, elevations and distances they cover."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.bounds import focus_point, scene_center
from unrender.geometry.cameras import Cameras

UP = (0.0, 0.0, 1.0)
UPRIGHT = math.radians(30)
"""If the cameras' mean up direction is within this angle of UP, UP is used instead."""
LEVEL = 0.02
"""Sine of the tilt of a camera's horizontal axis up to which it is not rolled about UP."""
AGREEING = 0.1
"""Minimum length of the mean of unit vectors for it to define a direction."""
MAX_GAP = math.radians(75)
"""Cameras stand all around if no arc of azimuths wider than this is without one."""
ONE_WAY = math.radians(30)
"""Cameras look one way if nine tenths of their optical axes are this close to the mean."""
STRAIGHT = math.radians(3)
"""Cameras look at the focus point if their optical axes miss it by at most this angle."""
EVEN = 0.05
"""Relative range of distances within which cameras count as equally far away."""


@dataclass(frozen=True)
class Coverage:
    """Positions of cameras in spherical coordinates about their focus point."""

    center: Float[Tensor, "3"]
    """The focus point, in the world frame."""
    axes: Float[Tensor, "3 3"]
    """Columns: two horizontal directions, from which azimuths are measured, and up."""
    azimuths: Float[Tensor, "cameras"]
    """Radians in [−π, π]."""
    elevations: Float[Tensor, "cameras"]
    """Radians above the horizon."""
    distances: Float[Tensor, "cameras"]
    """Distances to the focus point, in scene units."""
    start: float
    """Azimuth at which the photographed arc begins, in radians."""
    arc: float
    """Its width in radians; 2π if cameras stand all around."""
    one_way: bool
    """Whether all cameras look in nearly one direction: a forward-facing capture."""
    inwards: bool
    """Whether all cameras look straight at the focus point."""
    centered: bool
    """Whether the focus point is the world's origin, but for 5% of the distance."""

    @property
    def surrounds(self) -> bool:
        """Whether cameras stand all around the focus point."""
        return self.arc >= 2 * math.pi

    @property
    def on_sphere(self) -> bool:
        """Whether cameras look inwards from all around an object at the world's origin.

        Random cameras on the sphere then see what these see.
        """
        return self.surrounds and self.even and self.centered and self.inwards

    @property
    def even(self) -> bool:
        """Whether all cameras are equally far from the focus point."""
        low, high = float(self.distances.min()), float(self.distances.max())
        return high - low <= EVEN * high


def coverage(cameras: Cameras) -> Coverage:
    """Where these cameras stand about the point at which they look."""
    center = focus_point(cameras)
    axes = upright_axes(cameras)
    local = (cameras.centers - center) @ axes
    distance = local.norm(dim=1)
    azimuth = torch.atan2(local[:, 1], local[:, 0])
    elevation = (local[:, 2] / distance.clamp_min(1e-12)).clamp(-1, 1).asin()
    ordered = azimuth.double().sort().values
    gaps = (ordered.roll(-1) - ordered) % (2 * math.pi)
    if len(cameras) == 1 or bool((gaps == 0).all()):
        start, arc = float(ordered[0]), 0.0
    else:
        widest = int(gaps.argmax())
        start, arc = float(ordered.roll(-1)[widest]), 2 * math.pi - float(gaps[widest])
        if float(gaps[widest]) <= MAX_GAP:
            start, arc = 0.0, 2 * math.pi
    forward = cameras.rotations[:, :, 2]
    mean = torch.nn.functional.normalize(forward.mean(0), dim=0)
    angle = (forward @ mean).clamp(-1, 1).acos()
    return Coverage(
        center,
        axes,
        azimuth,
        elevation,
        distance,
        start,
        arc,
        float(angle.quantile(0.9)) <= ONE_WAY,
        bool(
            ((center - cameras.centers) * forward)
            .sum(1)
            .ge(math.cos(STRAIGHT) * distance)
            .all()
        ),
        not bool(scene_center(cameras).any()),
    )


def upright_axes(cameras: Cameras) -> Float[Tensor, "3 3"]:
    """Axes of an upright frame as columns: the third is the cameras' up direction.

    The first is perpendicular to it and as close to x as possible, so that the axes are those
    of the world where z is up.
    """
    up = upwards(cameras)
    aside = torch.eye(3)[0 if abs(float(up[0])) < 0.9 else 1]
    aside = torch.nn.functional.normalize(aside - (aside @ up) * up, dim=0)
    return torch.stack([aside, torch.linalg.cross(up, aside), up], dim=1)


def upwards(cameras: Cameras) -> Float[Tensor, "3"]:
    """The cameras' mean up direction, or z if it is undefined or near z.

    It is z too where no camera is rolled about z, however far they look down: a single camera
    above a thing has an up direction of its own, and the thing stands upright all the same.
    """
    up, z = -cameras.rotations[:, :, 1].mean(0), torch.tensor(UP)
    length = float(up.norm())
    if length < AGREEING or float(up @ z) > length * math.cos(UPRIGHT):
        return z
    rolled = float((cameras.rotations[:, :, 0] @ z).abs().max())
    if rolled < LEVEL and float(up @ z) > math.sin(UPRIGHT / 2):
        return z
    return up / length

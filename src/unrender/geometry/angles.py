"""Where cameras look and how they are turned, in words that people use."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at

NEAREST = 1e-3
"""Least distance of a look-at point, as a share of the focus point's distance."""


@dataclass(frozen=True)
class ViewAngles:
    """Look-at points and angles in degrees, one each per camera."""

    target: Float[Tensor, "cameras 3"]
    """The point of the optical axis, in front of the camera, that is nearest to the focus."""
    azimuth: Float[Tensor, "cameras"]
    """Of the camera as seen from its look-at point, about the up direction: from x towards y
    where up is z, in (−180, 180]."""
    elevation: Float[Tensor, "cameras"]
    """Of the camera above the horizon of its look-at point, in [−90, 90]."""
    roll: Float[Tensor, "cameras"]
    """Clockwise rotation of the camera about its optical axis, from the camera's point of view;
    0 where the image's up is as close to up as it can be. In (−180, 180]."""


def view_angles(
    cameras: Cameras, focus: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> ViewAngles:
    """Look-at points nearest to `focus` and angles about `up`, a unit vector.

    Azimuths count from the x axis made perpendicular to `up`, or from the y axis where `up` is
    nearly x.

    >>> import torch
    >>> import unrender as ur
    >>> angles = view_angles(ur.Cameras.look_at((0, 4, 4)), torch.zeros(3), torch.eye(3)[2])
    >>> [round(float(each)) for each in (angles.azimuth, angles.elevation, angles.roll)]
    [90, 45, 0]
    """
    centers, forward = cameras.centers, cameras.rotations[:, :, 2]
    along = ((focus - centers) * forward).sum(1)
    least = NEAREST * (focus - centers).norm(dim=1).clamp_min(1e-6)
    target = centers + torch.maximum(along, least)[:, None] * forward
    aside = torch.eye(3).to(centers)[0 if abs(float(up[0])) < 0.9 else 1]
    aside = normalize(aside - (aside @ up) * up, dim=0)
    away = -forward
    azimuth = torch.atan2(away @ torch.linalg.cross(up, aside), away @ aside)
    elevation = (away @ up).clamp(-1, 1).asin()
    upright = look_at(centers, target, up)[:, :, :3]
    turn = upright.mT @ cameras.rotations
    roll = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])
    return ViewAngles(target, azimuth.rad2deg(), elevation.rad2deg(), roll.rad2deg())

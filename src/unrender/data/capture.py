"""What kind of capture posed images are: the facts by which a method is chosen."""

import math
from dataclasses import dataclass

import torch

from unrender.data.views import Views
from unrender.geometry.coverage import coverage

ONE_PLACE = 0.01
"""Cameras stand in one place if they spread less than this, per distance to the points seen."""
SAME_CENTER = 1e-5
"""The same without points: per distance of the cameras from the origin."""


@dataclass(frozen=True)
class Capture:
    """Facts about posed images."""

    views: int
    cut_out: bool
    """Whether images show an object alone: by alpha, or on a constant background."""
    arc_deg: float
    """Width of the arc of azimuths from which cameras look, in degrees: 360 all around."""
    one_way: bool
    """Whether all cameras look in nearly one direction: a forward-facing capture."""
    one_place: bool
    """Whether all cameras stand in one place, from where depth cannot be triangulated."""


def capture_of(views: Views) -> Capture:
    """The facts about these views."""
    side = coverage(views.cameras)
    return Capture(
        len(views), is_cut_out(views), math.degrees(side.arc), side.one_way, _one_place(views)
    )


def is_cut_out(views: Views) -> bool:
    """Whether images show an object alone: by alpha, or on a constant background."""
    return views.store.transparent() > 0 or views.background is not None


def _one_place(views: Views) -> bool:
    centers = views.cameras.centers
    if len(views) < 2:
        return False
    middle = centers.mean(0)
    spread = float((centers - middle).norm(dim=1).max())
    if views.points is not None and len(views.points):
        return spread < ONE_PLACE * float((views.points - middle).norm(dim=1).median())
    return spread <= SAME_CENTER * max(1.0, float(torch.linalg.norm(middle)))

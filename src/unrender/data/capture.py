"""What kind of capture posed images are: the facts by which a method is chosen."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.geometry.coverage import coverage

ONE_PLACE = 0.01
"""Cameras stand in one place if they spread less than this, per distance to the points seen."""
FLAT = 0.05
"""Points lie in a plane if they are this much thinner than wide; of real captures, 0.5."""
FEWEST_POINTS, OUTLIERS = 100, 0.1
"""Points that say something about a plane, and the share of the outermost that is left out."""
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
    flat: bool = False
    """Whether the points that were seen lie in one plane, as those of a wall."""
    moving: bool = False
    """Whether the views show several moments of a scene that moves."""
    filmed: bool = False
    """Whether the views have times, and may be a film of a scene that stands still."""


def capture_of(views: Views) -> Capture:
    """The facts about these views."""
    side = coverage(views.cameras)
    timed = views.cameras.times is not None and len(views.cameras.times.unique()) > 1
    # Structure from motion, which leaves points, needs a scene that mostly stands still.
    still = timed and views.ids is None and views.points is not None
    return Capture(
        len(views),
        is_cut_out(views),
        math.degrees(side.arc),
        side.one_way,
        _one_place(views),
        views.points is not None and _is_flat(views.points),
        timed and not still,
        still,
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


def _is_flat(points: Float[Tensor, "points 3"]) -> bool:
    """Whether the points are thin in one direction, without the outermost of them."""
    if len(points) < FEWEST_POINTS:
        return False
    inner = points.double()
    for _ in range(2):
        distance = (inner - inner.median(0).values).norm(dim=1)
        inner = inner[distance <= distance.quantile(1 - OUTLIERS)]
    _, width, thickness = torch.linalg.svdvals(inner - inner.mean(0)).tolist()
    return thickness < FLAT * width

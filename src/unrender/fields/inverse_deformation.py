"""Where points of the canonical scene are at a time: the inverse of a deformation.

A deformation maps points of the scene at a time to the canonical scene, and has no inverse in
closed form. It is inverted point by point by Newton's method, with Jacobians by differences.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Deform = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points 3"]]
"""From the scene at a time to the canonical scene."""
STEPS = 20
"""Newton steps at most; near a solution three are enough."""
HALVINGS = 4
"""How often a step that increases the error is halved, at most."""
DIFFERENCE = 1e-3
"""Step of the differences, as a share of the scene's radius: single precision has seven digits.
"""
LONGEST = 0.25
"""A Newton step at most, as a share of the scene's radius."""
TOLERANCE = 1e-4
"""Error of a solution at most, in the canonical scene, as a share of the scene's radius."""


@dataclass(frozen=True)
class Inverted:
    """Solutions of deform(x) = y."""

    points: Float[Tensor, "points 3"]
    """x; the best that was found where it is no solution."""
    found: Bool[Tensor, "points"]
    """Whether the error is within the tolerance."""


@torch.no_grad()
def invert(
    deform: Deform,
    targets: Float[Tensor, "points 3"],
    starts: Float[Tensor, "points 3"],
    radius: float,
) -> Inverted:
    """Points that `deform` maps to the targets, each sought from its start.

    The error is within TOLERANCE × radius of a scene of that radius, or the point is not
    `found`: the deformation may fold space, or reach no target there.
    """
    points, errors = starts.clone(), deform(starts) - targets
    active = torch.arange(len(points))
    for _ in range(STEPS):
        active = active[errors[active].norm(dim=1) > TOLERANCE * radius]
        if not len(active):
            break
        at, error = points[active], errors[active]
        step = _newton_step(deform, at, targets[active], error, radius)
        better = torch.zeros(len(at), dtype=torch.bool)
        for _ in range(1 + HALVINGS):
            rows = (~better).nonzero()[:, 0]
            if not len(rows):
                break
            tried = at[rows] + step[rows]
            found = deform(tried) - targets[active[rows]]
            less = found.norm(dim=1) < error[rows].norm(dim=1)
            points[active[rows[less]]], errors[active[rows[less]]] = tried[less], found[less]
            better[rows[less]] = True
            step[rows] /= 2
        # Where no step along the line is better, none will be.
        active = active[better]
    return Inverted(points, errors.norm(dim=1) <= TOLERANCE * radius)


def _newton_step(
    deform: Deform,
    points: Float[Tensor, "points 3"],
    targets: Float[Tensor, "points 3"],
    errors: Float[Tensor, "points 3"],
    radius: float,
) -> Float[Tensor, "points 3"]:
    """−J⁻¹ errors, not longer than LONGEST × radius; −errors where J has no inverse."""
    size = DIFFERENCE * radius
    moved = [deform(points + size * axis) - targets for axis in torch.eye(3)]
    jacobian = torch.stack([(each - errors) / size for each in moved], dim=2)
    solution, info = torch.linalg.solve_ex(jacobian, -errors)
    usable = (info == 0) & solution.isfinite().all(1)
    step = torch.where(usable[:, None], solution, -errors)
    length = step.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return step * (LONGEST * radius / length).clamp_max(1)

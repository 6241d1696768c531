"""Calibration of expected pose errors from the spreads that accompany estimates."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance

ROOT_MEAN_SQUARE = (3 * math.pi / 8) ** 0.5
"""Ratio of the root mean square to the mean length of a 3D normal vector."""
AS_SPREAD = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
"""The identity calibration: expected errors equal the spreads."""

Errors = tuple[Float[Tensor, "images"], Float[Tensor, "images"]]
"""Errors of rotations, in radians, and of camera centers, in scene units."""


def rising_line(
    spread: Float[Tensor, "examples"], error: Float[Tensor, "examples"]
) -> Float[Tensor, "2"]:
    """Least-squares line a + b · spread through the errors as (a, b), with a ≥ 0 and b ≥ 0.

    The bounds ensure that an expected error is never negative and never decreases with the
    spread.
    """
    assert len(spread) > 0, "at least one example is needed"
    # The minimum over the quadrant is inside, on one of the edges, or at 0.
    centred = spread - spread.mean()
    slope = (centred * error).sum() / centred.square().sum().clamp_min(1e-30)
    inside = torch.stack([error.mean() - slope * spread.mean(), slope])
    flat = torch.stack([error.mean(), torch.zeros_like(slope)])
    through_zero = (spread * error).sum() / spread.square().sum().clamp_min(1e-30)
    steep = torch.stack([torch.zeros_like(slope), through_zero])
    candidates = torch.stack([inside, flat, steep])
    loss = (candidates[:, :1] + candidates[:, 1:] * spread - error).square().sum(1)
    allowed = (candidates >= 0).all(1)
    return candidates[torch.where(allowed, loss, torch.inf).argmin()]


def fitted_lines(
    spread: Errors, poses: Float[Tensor, "images 3 4"], truth: Cameras
) -> Float[Tensor, "2 2"]:
    """Calibration lines (a, b) of rotations and centers: RMS error = a + b · spread.

    They are fitted to the errors of `poses` [R | t] against the ground truth.
    """
    rotation = so3_distance(poses[:, :, :3], truth.rotations)
    errors = rotation, (poses[:, :, 3] - truth.centers).norm(dim=1)
    return ROOT_MEAN_SQUARE * torch.stack(list(map(rising_line, spread, errors)))


def on_lines(lines: Float[Tensor, "2 2"], spread: Errors) -> Errors:
    """Expected errors for these spreads."""
    rotation, translation = (
        line[0] + line[1] * values for line, values in zip(lines, spread, strict=True)
    )
    return rotation, translation

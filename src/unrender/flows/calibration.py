"""Expected errors from spreads: what an estimate knows of itself, and what that has meant."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance

ROOT_MEAN_SQUARE = (3 * math.pi / 8) ** 0.5
"""Of the length of a normal vector in three dimensions, over its mean."""
AS_SPREAD = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
"""The calibration by which errors are as large as their spreads."""

Errors = tuple[Float[Tensor, "images"], Float[Tensor, "images"]]
"""Of rotations, in radians, and of centres, in scene units."""


def rising_line(
    spread: Float[Tensor, "examples"], error: Float[Tensor, "examples"]
) -> Float[Tensor, "2"]:
    """(a, b) of the line a + b · spread nearest to the errors, with a ≥ 0 and b ≥ 0.

    Least squares; both are bounded so that an expected error is never negative and never
    falls as the spread grows.
    """
    assert len(spread) > 0, "at least one example is needed"
    # A quadratic over a quarter plane: its least is inside, on one of the edges, or at 0.
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
    """Rows (a, b) for rotations and centres: root mean square error = a + b · spread.

    The errors are those of poses [R | t] of which the truth is known.
    """
    rotation = so3_distance(poses[:, :, :3], truth.rotations)
    errors = rotation, (poses[:, :, 3] - truth.centers).norm(dim=1)
    return ROOT_MEAN_SQUARE * torch.stack(list(map(rising_line, spread, errors)))


def on_lines(lines: Float[Tensor, "2 2"], spread: Errors) -> Errors:
    """The errors that these spreads lead to expect."""
    rotation, translation = (
        line[0] + line[1] * values for line, values in zip(lines, spread, strict=True)
    )
    return rotation, translation

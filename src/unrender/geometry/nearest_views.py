"""How near cameras are to one another, and the nearest of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance


def camera_distances(
    queries: Cameras,
    known: Cameras,
    center: Float[Tensor, "3"],
    rotation_only: bool = False,
) -> Float[Tensor, "queries known"]:
    """Distances between cameras: |c − c'| / s + angle(R, R').

    c are the cameras' centers, s is the mean distance of those of `known` from `center`, and
    the angle is in radians: a camera that moves by a tenth of its distance from what it looks
    at is as far away as one that turns by a tenth of a radian. It does not change if the world
    is moved, turned or scaled. `rotation_only` leaves out the first term.
    """
    apart = so3_distance(queries.rotations[:, None], known.rotations[None])
    if rotation_only:
        return apart
    scale = (known.centers - center).norm(dim=1).clamp_min(1e-12).mean()
    # Exact distances: by a matrix product, those of near cameras would be lost in rounding.
    exactly = "donot_use_mm_for_euclid_dist"
    return torch.cdist(queries.centers, known.centers, compute_mode=exactly) / scale + apart


def nearest_views(
    queries: Cameras,
    known: Cameras,
    center: Float[Tensor, "3"],
    count: int = 1,
    rotation_only: bool = False,
) -> Int[Tensor, "queries {count}"]:
    """Indices of the `count` known cameras nearest to each of `queries`, the nearest first.

    By `camera_distances`; of those equally near the first. InputError if there are fewer.
    """
    if not 1 <= count <= len(known):
        raise InputError(f"{count} nearest of {len(known)} views: give 1 to {len(known)}")
    apart = camera_distances(queries, known, center, rotation_only)
    return apart.sort(dim=1, stable=True).indices[:, :count]

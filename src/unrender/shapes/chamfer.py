"""The chamfer distance between point clouds.

Papers differ in its definition. Here the squared distance to the nearest point (Fan et al.,
CVPR 2017; the distance itself if `squared` is False, "Chamfer-L1") is averaged over the points
of a cloud, so that clouds of any size compare, and the two directions are added. Half of the
sum is the mean of accuracy and completeness of Mescheder et al. (CVPR 2019).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity

from unrender.errors import InputError
from unrender.kernels.nearest import nearest
from unrender.kernels.runtime.backend import Backend

Direction = Literal["both", "a_to_b", "b_to_a"]


@dataclass(frozen=True)
class ChamferDistance:
    """The distance between each pair of clouds in a batch; its mean can serve as a loss."""

    distance: Float[Tensor, "batch"]
    """In squared scene units, or in scene units if `squared` is False."""
    normals: Float[Tensor, "batch"] | None
    """Mean of 1 − |cosine| between normals and those of the nearest points: in [0, 1] for each
    direction, and the directions are added. The sign of a normal makes no difference."""


def chamfer_distance(
    a: Float[Tensor, "batch n 3"],
    b: Float[Tensor, "batch m 3"],
    num_a: Int[Tensor, "batch"] | None = None,
    num_b: Int[Tensor, "batch"] | None = None,
    squared: bool = True,
    direction: Direction = "both",
    normals_a: Float[Tensor, "batch n 3"] | None = None,
    normals_b: Float[Tensor, "batch m 3"] | None = None,
    backend: Backend = "auto",
) -> ChamferDistance:
    """Mean distance from the points of each cloud to the other cloud.

    `num_a` and `num_b` are the numbers of valid rows of padded clouds. Normals are compared if
    both clouds have them. Differentiable in points and normals. Raises InputError for a cloud
    without points.
    """
    for name, cloud, num in (("a", a, num_a), ("b", b, num_b)):
        if cloud.shape[1] == 0 or (num is not None and bool((num < 1).any())):
            raise InputError(
                f"cloud {name} of a chamfer distance has no points: remove empty clouds"
            )
    distance = a.new_zeros(len(a))
    normals = None if normals_a is None or normals_b is None else a.new_zeros(len(a))
    ways = (
        ("a_to_b", a, b, num_a, num_b, normals_a, normals_b),
        ("b_to_a", b, a, num_b, num_a, normals_b, normals_a),
    )
    for way, queries, points, num_queries, num_points, of_queries, of_points in ways:
        if direction not in ("both", way):
            continue
        found = nearest(queries, points, num_queries, num_points, backend)
        share = _mean_weights(queries, num_queries)
        away = found.distance2 if squared else safe_sqrt(found.distance2)
        distance = distance + (share * away).sum(1)
        if normals is not None and of_queries is not None and of_points is not None:
            rows = found.index.clamp_min(0)[..., None].expand(-1, -1, 3)
            cosine = cosine_similarity(of_queries, of_points.gather(1, rows), dim=2)
            normals = normals + (share * (1 - cosine.abs())).sum(1)
    return ChamferDistance(distance, normals)


def safe_sqrt(square: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The square root, with derivative 0 instead of infinity at 0."""
    there = square > 0
    return torch.where(there, torch.where(there, square, 1).sqrt(), 0)


def _mean_weights(
    cloud: Float[Tensor, "batch rows 3"], num: Int[Tensor, "batch"] | None
) -> Float[Tensor, "batch rows"]:
    """The weight of each row in the mean over its cloud; 0 for padding."""
    batch, rows, _ = cloud.shape
    if num is None:
        return cloud.new_full((batch, rows), 1 / rows)
    num = num.to(cloud.device)[:, None]
    return (torch.arange(rows, device=cloud.device) < num) / num.to(cloud.dtype)

"""Nearest neighbors between point clouds.

Distances are squared, in squared scene units, and equal the rounded (dx² + dy²) + dz² of the
coordinate differences, so that brute force and trees agree to the last bit. Ties go to the
point with the smaller index.

Clouds of different sizes are padded to form a batch; `num_queries` and `num_points` give the
number of valid rows of each. Where there is no neighbor (in padding rows, or if there are too
few points) the index is −1 and the distance 0. InputError if a coordinate outside the padding
is not finite.
"""

from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import Gradients, Saved, differentiable


@dataclass(frozen=True)
class Nearest:
    """The nearest point of each query."""

    distance2: Float[Tensor, "batch queries"]
    """Squared distance to the nearest point."""
    index: Int[Tensor, "batch queries"]
    """Index of the nearest point."""


@dataclass(frozen=True)
class Neighbors:
    """The k nearest points of each query, sorted by distance."""

    distance2: Float[Tensor, "batch queries k"]
    """Squared distances to the points."""
    index: Int[Tensor, "batch queries k"]
    """Indices of the points."""


def nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"] | None = None,
    num_points: Int[Tensor, "batch"] | None = None,
    backend: Backend = "auto",
) -> Nearest:
    """The nearest point of each query, within the same element of the batch.

    The squared distance is differentiable in both clouds; the index is treated as constant.
    """
    kernel = implementation(__name__, backend, queries)
    sizes = _sizes(queries, num_queries), _sizes(points, num_points)
    found, index = kernel.k_nearest(queries.detach(), points.detach(), *sizes, 1)
    inputs = queries, points, found[..., 0], index[..., 0], kernel
    return Nearest(differentiable(_distance_forward, _distance_backward, *inputs), inputs[3])


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    k: int,
    num_queries: Int[Tensor, "batch"] | None = None,
    num_points: Int[Tensor, "batch"] | None = None,
    backend: Backend = "auto",
) -> Neighbors:
    """The k nearest points of each query, for k up to a few dozen; not differentiable.

    If a cloud has fewer than k points, the last entries are −1 and 0.
    """
    assert k > 0, f"k must be positive, not {k}"
    kernel = implementation(__name__, backend, queries)
    sizes = _sizes(queries, num_queries), _sizes(points, num_points)
    return Neighbors(*kernel.k_nearest(queries.detach(), points.detach(), *sizes, k))


def _sizes(cloud: Float[Tensor, "batch rows 3"], num: Int[Tensor, "batch"] | None) -> Tensor:
    """Number of valid rows of each cloud. InputError if one of them is not finite."""
    batch, rows, _ = cloud.shape
    sizes = torch.full((batch,), rows, device=cloud.device) if num is None else num
    sizes = sizes.to(cloud.device).long().clamp(0, rows)
    invalid = ~cloud.isfinite().all(2)
    if num is not None:
        invalid &= torch.arange(rows, device=cloud.device) < sizes[:, None]
    if bool(invalid.any()):
        first, row = invalid.nonzero()[0].tolist()
        raise InputError(
            f"point {row} of cloud {first} is at {cloud[first, row].tolist()}: coordinates "
            "must be finite; check how the points were computed"
        )
    return sizes


def _distance_forward(
    queries: Tensor, points: Tensor, distance2: Tensor, index: Tensor, kernel: ModuleType
) -> Saved:
    """The squared distances that `kernel` has found to the points `index`."""
    return distance2, (queries, points, index), (kernel,)


def _distance_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    kernel: ModuleType,
    queries: Tensor,
    points: Tensor,
    index: Tensor,
) -> Gradients:
    """∂d²/∂q = 2 (q − p) and ∂d²/∂p = −2 (q − p), whichever backend found p."""
    return kernel.gradients(queries, points, index, gradient)

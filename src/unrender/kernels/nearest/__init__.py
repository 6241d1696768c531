"""Nearest neighbours: of each point of one cloud, which of another is nearest, and how near.

Distances are squared, in squared scene units, and are the rounded (dx² + dy²) + dz² of the
coordinates' differences: brute force and trees agree to the last bit. Of points equally near,
the one in the lower row is taken.

Clouds of a batch that differ in size are padded to one, and `num_queries` and `num_points` say
how many rows count. Where there is no neighbour (in a padding row, or for want of points) the
index is −1 and the distance 0. InputError for coordinates that are not finite, padding aside.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.runtime.backend import Backend, implementation


@dataclass(frozen=True)
class Nearest:
    """The nearest point of each query."""

    distance2: Float[Tensor, "batch queries"]
    """Squared."""
    index: Int[Tensor, "batch queries"]
    """A row of the points."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest points of each query, the nearest first."""

    distance2: Float[Tensor, "batch queries k"]
    """Squared."""
    index: Int[Tensor, "batch queries k"]
    """A row of the points."""


def nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"] | None = None,
    num_points: Int[Tensor, "batch"] | None = None,
    backend: Backend = "auto",
) -> Nearest:
    """The nearest point of each query in the same cloud of the batch.

    The squared distance is differentiable in both clouds, where which point is nearest stays
    what it is.
    """
    distance2, index = _Distance.apply(queries, points, num_queries, num_points, backend)  # pyright: ignore[reportGeneralTypeIssues]
    return Nearest(distance2, index)


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    k: int,
    num_queries: Int[Tensor, "batch"] | None = None,
    num_points: Int[Tensor, "batch"] | None = None,
    backend: Backend = "auto",
) -> Neighbours:
    """The k nearest points of each query, for a k of some dozens; no gradients flow.

    A cloud of fewer than k points has −1 and 0 in the last places.
    """
    assert k > 0, f"{k} neighbours were asked for"
    kernel = implementation(__name__, backend, queries)
    sizes = _sizes(queries, num_queries), _sizes(points, num_points)
    return Neighbours(*kernel.k_nearest(queries.detach(), points.detach(), *sizes, k))


def _sizes(cloud: Float[Tensor, "batch rows 3"], num: Int[Tensor, "batch"] | None) -> Tensor:
    """How many rows of each cloud count."""
    batch, rows, _ = cloud.shape
    sizes = torch.full((batch,), rows, device=cloud.device) if num is None else num
    sizes = sizes.to(cloud.device).long().clamp(0, rows)
    wrong = ~cloud.isfinite().all(2)
    if num is not None:
        wrong &= torch.arange(rows, device=cloud.device) < sizes[:, None]
    if bool(wrong.any()):
        first, row = wrong.nonzero()[0].tolist()
        raise InputError(
            f"point {row} of cloud {first} is at {cloud[first, row].tolist()}: points near "
            "others have finite coordinates; look for what made these"
        )
    return sizes


class _Distance(torch.autograd.Function):
    """∂d²/∂q = 2 (q − p), and its negative by p, for whichever backend found p."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        points: Tensor,
        num_queries: Tensor | None,
        num_points: Tensor | None,
        backend: Backend,
    ) -> tuple[Tensor, Tensor]:
        kernel = implementation(__name__, backend, queries)
        sizes = _sizes(queries, num_queries), _sizes(points, num_points)
        distance2, index = kernel.k_nearest(queries.detach(), points.detach(), *sizes, 1)
        distance2, index = distance2[..., 0], index[..., 0]
        ctx.save_for_backward(queries, points, index)
        ctx.mark_non_differentiable(index)
        ctx.kernel = kernel
        return distance2, index

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        return *ctx.kernel.gradients(*ctx.saved_tensors, gradients[0]), None, None, None

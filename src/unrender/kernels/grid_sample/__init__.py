"""Interpolation in dense feature grids in two and three dimensions, and their total variation.

The first spatial size of a grid is that of x, the slowest index. A vertex's channels are best
stored contiguously (`torch.zeros(*sizes, channels).movedim(-1, 0)`), since a point reads them
together. Any strides are accepted.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run


def grid_sample(
    grid: Float[Tensor, "channels *sizes"],
    points: Float[Tensor, "points dimensions"],
    backend: Backend = "auto",
) -> Float[Tensor, "points channels"]:
    """Interpolate a grid at points, linearly along each axis.

    Interpolation is bilinear in two dimensions and trilinear in three. The first vertex of an
    axis is at 0 and the last at 1, as with `align_corners=True` in torch. Points outside get
    the value at the nearest point of the box, and have no gradient along the clamped
    coordinates. Differentiable in the grid and in the points. ValueError if the dimensions do
    not match.
    """
    if grid.ndim - 1 not in (2, 3) or points.shape[1] != grid.ndim - 1:
        raise ValueError(
            f"a grid of shape {tuple(grid.shape)} does not match points of {points.shape[1]} "
            "coordinates: give channels, then one size for each of 2 or 3 coordinates"
        )
    assert 0 not in grid.shape[1:], "the grid has no vertices"
    return run(implementation(__name__, backend, grid), "grid_sample", grid, points)


def total_variation(
    grid: Float[Tensor, "channels *sizes"], backend: Backend = "auto"
) -> Float[Tensor, ""]:
    """Total variation: sum over axes of the mean squared difference of adjacent vertices.

    The mean is over all channels and all pairs of adjacent vertices along the axis; an axis
    with one vertex contributes 0. This is the regularizer of TensoRF and K-Planes up to
    constant factors; that of Plenoxels takes a square root of the sum over axes at each vertex.
    Differentiable.
    """
    return run(implementation(__name__, backend, grid), "total_variation", grid)

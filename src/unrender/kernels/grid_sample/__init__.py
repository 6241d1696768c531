"""Dense grids of features in two and three dimensions.

The first size of a grid is that of x, the slowest index. A vertex' channels are best kept
together in memory (`torch.zeros(*sizes, channels).movedim(-1, 0)`), since a point reads them
together. Any strides are accepted.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def grid_sample(
    grid: Float[Tensor, "channels *sizes"],
    points: Float[Tensor, "points dimensions"],
    backend: Backend = "auto",
) -> Float[Tensor, "points channels"]:
    """The grid's values at points, interpolated between the vertices of a cell.

    Linear along each axis: bilinear on an area, trilinear in a volume. The first vertex of an
    axis lies at 0 and the last at 1 (torch calls it `align_corners`). Points outside take the
    value at the nearest point of the box, and have no derivative across its wall.
    Differentiable in the grid and in the points.
    """
    if grid.ndim - 1 not in (2, 3) or points.shape[1] != grid.ndim - 1:
        raise ValueError(
            f"a grid of shape {tuple(grid.shape)} for points of {points.shape[1]} coordinates: "
            "give channels, then one size for each of 2 or 3 coordinates"
        )
    assert 0 not in grid.shape[1:], "a grid without vertices"
    return implementation(__name__, backend, grid).grid_sample(grid, points)


def total_variation(
    grid: Float[Tensor, "channels *sizes"], backend: Backend = "auto"
) -> Float[Tensor, ""]:
    """How much neighbouring vertices differ: Σ over axes of the mean squared difference.

    An axis' mean is over all channels and all pairs of vertices next to each other along it; an
    axis of one vertex has none and counts 0. This is the regulariser of TensoRF and K-Planes up
    to factors; that of Plenoxels adds the axes under a root at each vertex. Differentiable.
    """
    return implementation(__name__, backend, grid).total_variation(grid)

"""Interpolation in sparse voxel grids, which store features only at occupied vertices.

Yu et al., "Plenoxels" (2022), sec. 3.1: a dense array of indices into a table of rows.
"""

from jaxtyping import Float, Int32
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run


def sparse_sample(
    rows: Float[Tensor, "rows channels"],
    index: Int32[Tensor, "x y z"],
    points: Float[Tensor, "points 3"],
    backend: Backend = "auto",
) -> Float[Tensor, "points channels"]:
    """Interpolate the grid at points, trilinearly.

    `index` has the row of each vertex, in [0, rows); row 0 is shared by all empty vertices,
    must be 0 and gets no gradient. The first vertex of an axis is at 0 and the last at 1.
    Points outside get the value at the nearest point of the box, and have no gradient along the
    clamped coordinates. Differentiable in the rows and in the points.
    """
    assert min(index.shape) > 1, "a sparse grid needs at least two vertices along each axis"
    return run(implementation(__name__, backend, rows), "sparse_sample", rows, index, points)

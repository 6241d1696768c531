"""Sparse voxel grids: features at those vertices of a volume where there is something.

Yu et al., "Plenoxels" (2022), sec. 3.1: a dense array of indices into a table of rows.
"""

from jaxtyping import Float, Int32
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def sparse_sample(
    rows: Float[Tensor, "rows channels"],
    index: Int32[Tensor, "x y z"],
    points: Float[Tensor, "points 3"],
    backend: Backend = "auto",
) -> Float[Tensor, "points channels"]:
    """The grid's values at points, interpolated between the vertices of a cell.

    A vertex has the row that `index` names, in [0, rows); row 0 stands for all vertices where
    there is nothing, and has no gradient: keep it at 0. The first vertex of an axis lies at 0
    and the last at 1. Points outside take the value at the nearest point of the box, and have
    no derivative across its wall. Differentiable in the rows and in the points.
    """
    assert min(index.shape) > 1, "at least two vertices along each axis"
    return implementation(__name__, backend, rows).sparse_sample(rows, index, points)

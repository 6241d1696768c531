"""Multiresolution hash encoding (Müller et al., SIGGRAPH 2022, sec. 3).

A level is a grid of `resolution` cells a side whose corners carry features. Coarse levels store
every corner ("dense"); finer ones hash corners into a table of fixed size, and leave it to
training to sort out collisions. A point's features are interpolated between eight corners.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.backend import Backend, resolve
from unrender.kernels.hash_grid import cpu, reference
from unrender.kernels.hash_grid.layout import HashGridLayout

__all__ = ["HashGridLayout", "hash_grid"]


def hash_grid(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    layout: HashGridLayout,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """Interpolated features of all levels, level by level: levels × features columns.

    Points belong in [0, 1]³; those outside take the value at the nearest point of the cube.
    Differentiable in the table and in the points.
    """
    assert table.shape == (layout.num_entries, layout.features), "table of another layout"
    implementation = cpu if resolve(backend, table) == "cpu" else reference
    return implementation.hash_grid(points, table, layout)

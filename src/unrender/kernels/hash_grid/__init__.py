"""Multiresolution hash encoding (Müller et al., SIGGRAPH 2022, sec. 3).

A level is a grid of `resolution` cells per side with features at its corners. Coarse levels
store every corner ("dense"); finer ones hash corners into a table of fixed size, and rely on
training to resolve collisions. A point's features are interpolated from the corners of its
cell: four in two dimensions, eight in three.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.hash_grid.layout import HashGridLayout
from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run

__all__ = ["HashGridLayout", "hash_grid"]


def hash_grid(
    points: Float[Tensor, "points dimensions"],
    table: Float[Tensor, "entries features"],
    layout: HashGridLayout,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """Interpolated features of all levels, concatenated: levels × features columns.

    Points should be in [0, 1]² or [0, 1]³; points outside get the value at the nearest point of
    the cube, and have no gradient along the clamped coordinates. Differentiable in the table
    and in the points.
    """
    assert table.shape == (layout.num_entries, layout.features_per_level), (
        "the table does not match the layout"
    )
    assert points.shape[1] == layout.dimensions, (
        "the points do not match the layout's dimensions"
    )
    return run(implementation(__name__, backend, table), "hash_grid", points, table, layout)

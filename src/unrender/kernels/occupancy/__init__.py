"""An occupancy grid's estimates and the cells that they call occupied.

Müller et al., SIGGRAPH 2022, appendix E.1: a decaying maximum of sampled densities.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def update_density(
    density: Float[Tensor, "cells cells cells"],
    index: Int[Tensor, "seen"],
    seen: Float[Tensor, "seen"],
    decay: float,
    backend: Backend = "auto",
) -> None:
    """In place, density = max(decay × density, seen) at each cell of `index`.

    `density` is contiguous; `index` counts its cells in order, and names none of them twice.
    """
    assert density.is_contiguous(), "the densities are changed in place"
    implementation(__name__, backend, density).update_density(density, index, seen, decay)


def occupied_cells(
    density: Float[Tensor, "cells cells cells"],
    step: float,
    threshold: float,
    backend: Backend = "auto",
) -> Bool[Tensor, "cells cells cells"]:
    """The cells where a step's optical depth, density × step, passes the threshold.

    A scene of thin matter has a low mean, and then the threshold follows the mean down.
    """
    kernel = implementation(__name__, backend, density)
    return kernel.occupied_cells(density, step, threshold)

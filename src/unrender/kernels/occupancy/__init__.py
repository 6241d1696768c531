"""Update of an occupancy grid's density estimates, and thresholding to occupied cells.

Müller et al., "Instant NGP" (SIGGRAPH 2022), appendix E.1: a decaying maximum of sampled
densities.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation


def update_density(
    density: Float[Tensor, "cells cells cells"],
    index: Int[Tensor, "sampled"],
    sampled: Float[Tensor, "sampled"],
    decay: float,
    backend: Backend = "auto",
) -> None:
    """Set density = max(decay × density, sampled) at each cell of `index`, in place.

    `density` must be contiguous; `index` has flat indices of cells, without repetitions.
    """
    assert density.is_contiguous(), "density must be contiguous, because it is updated in place"
    implementation(__name__, backend, density).update_density(density, index, sampled, decay)


def occupied_cells(
    density: Float[Tensor, "cells cells cells"],
    step: float,
    threshold: float,
    backend: Backend = "auto",
) -> Bool[Tensor, "cells cells cells"]:
    """The cells where the optical depth of one step, density × step, reaches the threshold.

    The threshold is at most the mean over all cells, so that scenes of low density keep cells,
    and those of the same density everywhere keep all. Cells without density are never occupied.
    """
    kernel = implementation(__name__, backend, density)
    return kernel.occupied_cells(density, step, threshold)

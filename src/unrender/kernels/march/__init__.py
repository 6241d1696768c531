"""Ray marching through an occupancy grid: packed bins along rays, wherever cells are occupied.

Müller et al., "Instant NGP" (SIGGRAPH 2022), sec. 4 and appendix E.1. In a bounded scene all
bins have the same length. In a large scene they grow in proportion to their distance beyond a
threshold ("exponential stepping", E.1): all bins have the same length in the stepping-space
coordinate s, with s = t up to the threshold k, and s = k (1 + log(t / k)) beyond it.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march.grid import MarchGrid, Samples
from unrender.kernels.runtime.backend import Backend, implementation

__all__ = ["MarchGrid", "Samples", "march"]


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    max_optical_depth: float = 8.0,
    backend: Backend = "auto",
) -> Samples:
    """Bins of length `grid.step`, or longer far away, whose midpoints lie in occupied cells.

    The midpoint of ray r's k-th bin is s(t_min) + (k + jitter[r]) step, where t_min is the
    distance at which the ray enters the cube, but at least `grid.near`. A ray ends after the
    bin in which its accumulated optical depth exceeds `max_optical_depth`; it is estimated from
    the grid's densities, for bins of length `grid.step`.
    """
    kernel = implementation(__name__, backend, origins)
    return kernel.march(origins, directions, jitter, grid, max_optical_depth)

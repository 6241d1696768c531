"""Ray marching through an occupancy grid: rays in, packed bins where there may be matter out.

After instant-ngp (Müller et al., SIGGRAPH 2022, sec. 4 and appendix E.1). Bins of one length
serve a bounded scene; in a large one they grow in proportion to their distance from the knee on
(E.1, "exponential stepping"): t itself up to there and knee (1 + log(t / knee)) beyond is the
coordinate s in which all have one length.
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
    """Bins of length `grid.step`, or longer far away, whose middles lie in occupied cells.

    Ray r's k-th bin has its middle at s(near) + (k + jitter[r]) step, where near is the
    distance at which the ray enters the cube, and at least `grid.nearest`. A ray stops after
    the bin in which the optical depth by the grid's own estimates, for bins of length
    `grid.step`, passes `max_optical_depth`.
    """
    kernel = implementation(__name__, backend, origins)
    return kernel.march(origins, directions, jitter, grid, max_optical_depth)

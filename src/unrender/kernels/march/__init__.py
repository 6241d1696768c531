"""Ray marching through an occupancy grid: rays in, packed bins where there may be matter out.

After instant-ngp (Müller et al., SIGGRAPH 2022, sec. 4 and appendix E.1), with a fixed step.
"""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.backend import Backend, resolve
from unrender.kernels.march import cpu, reference
from unrender.kernels.march.grid import MarchGrid, Samples

__all__ = ["MarchGrid", "Samples", "march"]


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    step: float,
    max_optical_depth: float = 8.0,
    max_step_depth: float = 0.7,
    backend: Backend = "auto",
) -> Samples:
    """Bins of length `step` whose middles lie in occupied cells.

    Ray r's k-th bin has its middle at near + (k + jitter[r]) step, where near is the distance
    at which the ray enters the cube, or 0 from inside. A ray stops after the bin in which the
    optical depth by the grid's own densities passes `max_optical_depth`; a bin counts at most
    `max_step_depth`, since one rough estimate must not hide what lies behind it.
    """
    implementation = cpu if resolve(backend, origins) == "cpu" else reference
    return implementation.march(
        origins, directions, jitter, grid, step, max_optical_depth, max_step_depth
    )

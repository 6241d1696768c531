"""Real spherical harmonics: encodings of view directions, and view-dependent colors."""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.runtime.function import run
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE

__all__ = ["MAX_DEGREE", "harmonic_colors", "spherical_harmonics"]


def spherical_harmonics(
    directions: Float[Tensor, "points 3"], degree: int = 3, backend: Backend = "auto"
) -> Float[Tensor, "points {(degree+1)**2}"]:
    """All harmonics of degrees 0 to `degree` on unit vectors: (degree + 1)² columns.

    They are orthonormal on the sphere, include the Condon-Shortley phase, and are sorted by
    degree l and then by order from −l to l (Sloan, "Stupid spherical harmonics tricks", 2008,
    appendix A2). `degree` is at most 4, else ValueError. Differentiable in the directions, as
    the polynomials in x, y and z of legendre.py; only the tangential component of this gradient
    is meaningful.
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"spherical harmonics of degree {degree}: choose 0 to {MAX_DEGREE}")
    kernel = implementation(__name__, backend, directions)
    return run(kernel, "spherical_harmonics", directions, degree)


def harmonic_colors(
    directions: Float[Tensor, "points 3"],
    coefficients: Float[Tensor, "points harmonics 3"],
    degree: int,
    backend: Backend = "auto",
) -> Float[Tensor, "points 3"]:
    """View-dependent colors Σ Y_k(d) c_k over the harmonics of degrees 1 to `degree`.

    The constant of degree 0 is not included. Each point has its own coefficients; those of
    higher degrees are ignored. Differentiable in directions and coefficients; the harmonics are
    not stored in memory. ValueError if `degree` or the number of coefficients is out of range.
    """
    num_coefficients = coefficients.shape[1]
    if not (1 <= degree <= MAX_DEGREE and num_coefficients >= (degree + 1) ** 2 - 1):
        raise ValueError(
            f"harmonics of degrees 1 to {degree} with {num_coefficients} coefficients: choose "
            f"a degree of 1 to {MAX_DEGREE}, and give at least (degree + 1)² − 1 coefficients"
        )
    kernel = implementation(__name__, backend, directions)
    return run(kernel, "harmonic_colors", directions, coefficients, degree)

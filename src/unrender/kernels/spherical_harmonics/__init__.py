"""Real spherical harmonics: view directions as features, or colour as a function of them."""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE

__all__ = ["MAX_DEGREE", "harmonic_colors", "spherical_harmonics"]


def spherical_harmonics(
    directions: Float[Tensor, "points 3"], degree: int = 3, backend: Backend = "auto"
) -> Float[Tensor, "points {(degree+1)**2}"]:
    """All harmonics of degrees 0 to `degree` on unit vectors: (degree + 1)² columns.

    Orthonormal on the sphere, with the Condon-Shortley phase, ordered by degree and then by
    order from −l to l (Sloan, "Stupid spherical harmonics tricks", 2008, appendix A2). `degree`
    is at most 4. Differentiable in the directions, as the polynomials in x, y and z of
    legendre.py; of that gradient only the part along the sphere has a meaning.
    """
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"spherical harmonics of degree {degree}: choose 0 to {MAX_DEGREE}")
    kernel = implementation(__name__, backend, directions)
    return kernel.spherical_harmonics(directions, degree)


def harmonic_colors(
    directions: Float[Tensor, "points 3"],
    coefficients: Float[Tensor, "points harmonics 3"],
    degree: int,
    backend: Backend = "auto",
) -> Float[Tensor, "points 3"]:
    """Σ Y_k(d) c_k over the harmonics of degrees 1 to `degree`: colours that vary by view.

    Without degree 0, the constant. Each point has coefficients of its own; those beyond
    `degree` count for nothing. Differentiable in directions and coefficients, as
    `spherical_harmonics`, whose values are not written down in between.
    """
    known = coefficients.shape[1]
    if not (1 <= degree <= MAX_DEGREE and known >= (degree + 1) ** 2 - 1):
        raise ValueError(
            f"harmonics of degrees 1 to {degree} by {known} coefficients: choose 1 to "
            f"{MAX_DEGREE}, and give at least (degree + 1)² − 1"
        )
    kernel = implementation(__name__, backend, directions)
    return kernel.harmonic_colors(directions, coefficients, degree)

"""Real spherical harmonics: view directions as features, or colour as a function of them."""

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.backend import Backend, implementation
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE

__all__ = ["MAX_DEGREE", "spherical_harmonics"]


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

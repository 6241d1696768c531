"""Factors of the harmonics that depend on z, shared by all implementations.

With (x + iy)^m = C_m + i S_m, the harmonic of degree l and order m ≥ 0 is Q_lm(z) C_m, and that
of order −m is Q_lm(z) S_m. Q_lm is the m-th derivative of the Legendre polynomial P_l, scaled
to unit norm: on unit vectors, C_m and S_m contain the factor (1 − z²)^{m/2} of the associated
Legendre function. Their derivatives are m C_{m−1} and m S_{m−1} with respect to x, and −m
S_{m−1} and m C_{m−1} with respect to y.
"""

from functools import cache
from math import factorial, pi, sqrt

import numpy as np

MAX_DEGREE = 4


@cache
def factors(degree: int) -> np.ndarray:
    """Coefficients [l, m, k] of Q_lm(z) = Σ_k factors[l, m, k] z^k, k ≤ 4; 0 where m > l."""
    out = np.zeros((degree + 1, degree + 1, MAX_DEGREE + 1))
    for ell in range(degree + 1):
        legendre = np.polynomial.Legendre.basis(ell).convert(kind=np.polynomial.Polynomial)
        for m in range(ell + 1):
            norm = (2 * ell + 1) / (4 * pi) * factorial(ell - m) / factorial(ell + m)
            scale = (-1) ** m * sqrt(norm * (2 if m else 1))
            out[ell, m, : ell - m + 1] = scale * legendre.deriv(m).coef
    return out

"""Spherical harmonics in PyTorch."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE, factors


def spherical_harmonics(
    directions: Float[Tensor, "points 3"], degree: int
) -> Float[Tensor, "points coefficients"]:
    x, y, z = directions.unbind(-1)
    powers = torch.stack([z**k for k in range(MAX_DEGREE + 1)])
    factors_of_z = torch.from_numpy(factors(degree)).to(powers) @ powers
    cosine, sine = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(degree):
        c, s = cosine[-1], sine[-1]
        cosine.append(x * c - y * s)
        sine.append(x * s + y * c)
    columns = [
        factors_of_z[ell, abs(m)] * (cosine[m] if m >= 0 else sine[-m])
        for ell in range(degree + 1)
        for m in range(-ell, ell + 1)
    ]
    return torch.stack(columns).T


def harmonic_colors(
    directions: Float[Tensor, "points 3"],
    coefficients: Float[Tensor, "points harmonics 3"],
    degree: int,
) -> Float[Tensor, "points 3"]:
    basis = spherical_harmonics(directions, degree)[:, 1:]
    return (basis[..., None] * coefficients[:, : basis.shape[1]]).sum(1)

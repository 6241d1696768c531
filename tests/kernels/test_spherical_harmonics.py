"""Spherical harmonics against their laws, SciPy and finite differences; backends agree."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch import Tensor

from unrender.kernels.spherical_harmonics import (
    MAX_DEGREE,
    harmonic_colors,
    spherical_harmonics,
)


def unit_vectors(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    normal = torch.randn(count, 3, generator=generator, dtype=dtype)
    return torch.nn.functional.normalize(normal, dim=-1)


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
def test_orthonormal(degree: int) -> None:
    """On a quadrature that is exact for these polynomials: Gauss-Legendre by equal angles."""
    height, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(8))
    angle = torch.arange(16, dtype=torch.float64) / 16 * 2 * math.pi
    height, angle = torch.meshgrid(height, angle, indexing="ij")
    ring = (1 - height**2).sqrt()
    directions = torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=-1)
    basis = spherical_harmonics(directions.view(-1, 3), degree)
    area = weight.repeat_interleave(16) * 2 * math.pi / 16
    gram = torch.einsum("p,pi,pj->ij", area, basis, basis)
    torch.testing.assert_close(gram, torch.eye((degree + 1) ** 2, dtype=torch.float64))


def test_against_scipy() -> None:
    """The real form of SciPy's complex harmonics, which have the phase already."""
    directions = unit_vectors(50, torch.float64)
    x, y, z = directions.numpy().T
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    columns = []
    for ell in range(MAX_DEGREE + 1):
        for m in range(-ell, ell + 1):
            value = sph_harm_y(ell, abs(m), polar, azimuth)
            part = value.real if m >= 0 else value.imag
            columns.append(part * (math.sqrt(2) if m else 1))
    expected = torch.from_numpy(np.stack(columns, axis=1))
    torch.testing.assert_close(spherical_harmonics(directions, MAX_DEGREE), expected)


def test_degree_one_is_a_scaled_direction() -> None:
    directions = unit_vectors(5, torch.float64)
    x, y, z = directions.unbind(-1)
    expected = math.sqrt(3 / (4 * math.pi)) * torch.stack([-y, z, -x], dim=-1)
    torch.testing.assert_close(spherical_harmonics(directions, 1)[:, 1:], expected)


def test_gradients_match_finite_differences() -> None:
    directions = unit_vectors(4, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d: spherical_harmonics(d, MAX_DEGREE, "reference"), directions
    )


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.interpreted("300-2", "0-4")
def test_backends_agree(agree, degree: int, count: int) -> None:
    directions = unit_vectors(count).requires_grad_()
    agree(lambda b, d: [spherical_harmonics(d, degree, b)], [directions])


def test_strides_do_not_matter(agree) -> None:
    directions = unit_vectors(70)
    for spread in (
        directions.T.contiguous().T,
        directions.repeat(1, 2)[:, 1:4],
        directions[::2],
    ):
        agree(lambda b, d: [spherical_harmonics(d, 2, b)], [spread.requires_grad_()])


@pytest.mark.parametrize("degree", [-1, 5])
def test_other_degrees_are_refused(degree: int) -> None:
    with pytest.raises(ValueError, match=f"{degree}: choose 0 to 4"):
        spherical_harmonics(unit_vectors(1), degree)


@pytest.mark.parametrize("degree", range(1, MAX_DEGREE + 1))
def test_colors_are_sums_over_the_harmonics(degree: int) -> None:
    directions = unit_vectors(20, torch.float64)
    coefficients = torch.randn(20, (MAX_DEGREE + 1) ** 2 - 1, 3, dtype=torch.float64)
    expected = torch.zeros(20, 3, dtype=torch.float64)
    for k, values in enumerate(spherical_harmonics(directions, degree).T[1:]):
        expected += values[:, None] * coefficients[:, k]
    torch.testing.assert_close(harmonic_colors(directions, coefficients, degree), expected)


@pytest.mark.parametrize("degree", range(1, MAX_DEGREE + 1))
@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.interpreted("300-2", "0-4")
def test_backends_agree_on_colors(agree, degree: int, count: int) -> None:
    """Also with coefficients of degrees that are not used yet, whose gradient is zero."""
    torch.manual_seed(count)
    directions = unit_vectors(count).requires_grad_()
    coefficients = torch.randn(count, (MAX_DEGREE + 1) ** 2 - 1, 3, requires_grad=True)
    agree(lambda b, d, c: [harmonic_colors(d, c, degree, b)], [directions, coefficients])


@pytest.mark.parametrize(("degree", "known"), [(0, 3), (5, 35), (2, 7)])
def test_too_few_coefficients_are_refused(degree: int, known: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {degree} with {known} coefficients"):
        harmonic_colors(unit_vectors(2), torch.zeros(2, known, 3), degree)

"""Densities from signed distances: weights of NeuS and bounds of VolSDF, in closed form."""

import math

import formulas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.methods.neus import logistic_depth
from unrender.methods.volsdf import (
    laplace_density,
    least_distance,
    opacity_error_bounds,
    safe_beta,
)
from unrender.rendering.volume.compositing import depth_weights


def weights_of(depth: Tensor) -> Tensor:
    return depth_weights(depth[None])[0]


@settings(deadline=None, max_examples=50)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(1, 500))
def test_opacity_equals_neus_formula(first: float, last: float, sharpness: float) -> None:
    """NeuS, eq. 13, in double precision."""
    a, b, s = (torch.tensor(x, dtype=torch.float64) for x in (first, last, sharpness))
    phi_a, phi_b = (s * a).sigmoid(), (s * b).sigmoid()
    expected = ((phi_a - phi_b) / phi_a).clamp_min(0)
    alpha = -torch.expm1(-logistic_depth(a, b, s))
    torch.testing.assert_close(alpha, expected, rtol=1e-6, atol=1e-9)
    assert 0 <= float(alpha) <= 1


def test_thin_bins_deep_inside_have_accurate_opacities() -> None:
    """Where log Φ is −200 and its differences in single precision are off by 1e-5."""
    first, last = torch.tensor([-0.5]), torch.tensor([-0.50003])
    alpha = -torch.expm1(-logistic_depth(first, last, torch.tensor(400.0)))
    expected = formulas.neus_alpha(first.double().numpy(), last.double().numpy(), 400.0)
    assert float(alpha) == pytest.approx(float(expected[0]), rel=1e-6)


def test_opaque_bins_have_accurate_depths() -> None:
    """In single precision Φ(last) is 0 there, and its logarithm would be −∞."""
    depth = logistic_depth(torch.tensor(0.5), torch.tensor(-0.5), torch.tensor(400.0))
    assert float(depth) == pytest.approx(200.0)


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2])
@pytest.mark.parametrize("sharpness", [20.0, 200.0])
def test_weights_peak_at_the_plane(angle: float, sharpness: float) -> None:
    """NeuS, sec. 3.1: unbiased at any angle, unlike naive densities (eq. 6)."""
    t = torch.linspace(0, 2, 4001, dtype=torch.float64)
    distance = (1 - t) * math.cos(angle)
    s = torch.tensor(sharpness, dtype=torch.float64)
    weights = weights_of(logistic_depth(distance[:-1], distance[1:], s))
    middles = (t[1:] + t[:-1]) / 2
    assert float(middles[weights.argmax()]) == pytest.approx(1.0, abs=1e-3)
    assert float(weights.sum()) <= 1 + 1e-14
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-3)
    # Control: the naive logistic density peaks in front of the surface.
    density = s * (s * distance).sigmoid() * (-s * distance).sigmoid()
    naive = weights_of((density[1:] + density[:-1]) / 2 * t.diff())
    assert float(middles[naive.argmax()]) < 1 - 0.2 / sharpness


def test_the_nearer_of_two_planes_has_more_weight() -> None:
    """NeuS is occlusion-aware: the first of two equal surfaces occludes the second."""
    t = torch.linspace(0, 4, 4001)
    distance = torch.minimum((t - 1).abs(), (t - 3).abs()) - 0.25
    weights = weights_of(logistic_depth(distance[:-1], distance[1:], torch.tensor(60.0)))
    assert float(weights[t[:-1] < 2].sum()) > 0.99


@pytest.mark.parametrize("beta", [0.02, 0.3])
def test_the_density_is_the_laplace_distribution(beta: float) -> None:
    distance = torch.linspace(-2, 2, 401, dtype=torch.float64)
    scale = torch.tensor(beta, dtype=torch.float64)
    expected = torch.distributions.Laplace(0.0, scale).cdf(-distance) / beta
    found = laplace_density(distance, scale)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    assert float(laplace_density(torch.zeros(1), torch.tensor(beta))) == pytest.approx(
        0.5 / beta
    )


def test_the_density_has_the_right_slope() -> None:
    distance = torch.tensor([-0.3, -0.01, 0.02, 0.4], dtype=torch.float64, requires_grad=True)
    beta = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(laplace_density, (distance, beta))


def sphere_along(t: Tensor, height: Tensor, radius: float = 0.5) -> Tensor:
    """Distances to a sphere along rays that pass its center, at t = 1, at some height."""
    return ((t - 1).square() + height[:, None].square()).sqrt() - radius


def test_least_distance_is_a_lower_bound() -> None:
    height = torch.linspace(0, 0.9, 19, dtype=torch.float64)
    t = torch.linspace(0, 2, 24, dtype=torch.float64).expand(19, -1)
    bound = least_distance(sphere_along(t, height), t)
    fine = torch.linspace(0, 1, 101, dtype=torch.float64)
    places = t[:, :-1, None] + fine * t.diff(dim=1)[..., None]
    true = sphere_along(places.flatten(1), height).abs().view(places.shape).amin(2)
    assert bool((bound <= true + 1e-9).all())
    # The bound is not trivial: not 0 everywhere.
    assert float(bound.mean()) > 0.5 * float(true.mean())


@pytest.mark.parametrize("beta", [0.02, 0.05, 0.2])
def test_the_opacity_error_is_within_its_bound(beta: float) -> None:
    """Against brute force with forty thousand bins (VolSDF, eq. 12 to 15)."""
    height = torch.linspace(0, 0.8, 9, dtype=torch.float64)
    scale = torch.full((9,), beta, dtype=torch.float64)
    t = torch.linspace(0, 2, 33, dtype=torch.float64).expand(9, -1)
    distance = sphere_along(t, height)
    bounds = opacity_error_bounds(distance, t, scale)
    coarse = (laplace_density(distance[:, :-1], scale[:, None]) * t.diff(dim=1)).cumsum(1)
    fine = torch.linspace(0, 2, 40_001, dtype=torch.float64).expand(9, -1)
    middles = (fine[:, 1:] + fine[:, :-1]) / 2
    density = laplace_density(sphere_along(middles, height), scale[:, None])
    true = (density * fine.diff(dim=1)).cumsum(1)[:, 1249::1250]
    error = ((-coarse).exp() - (-true).exp()).abs()
    assert bool((error <= bounds + 1e-9).all())
    # Control: the bound is tight enough that a tenth of it is violated somewhere.
    assert float(error.max()) > 1e-3
    assert not bool((error <= 0.02 * bounds).all())


@pytest.mark.parametrize("tolerance", [0.05, 0.1])
def test_a_large_beta_keeps_the_bound(tolerance: float) -> None:
    """VolSDF, lemma 2: for any distances."""
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(0, 2, 65).expand(50, -1)
    steps = 2 * torch.rand(50, 64, generator=generator) - 1
    distance = torch.cat([torch.zeros(50, 1), steps.cumsum(1) * 2 / 64], dim=1)
    beta = safe_beta(torch.full((50,), 2.0), 64, tolerance)
    assert float(opacity_error_bounds(distance, t, beta).max()) <= tolerance
    assert float(opacity_error_bounds(distance, t, beta / 10).max()) > tolerance

"""The tangent kernel is what derivatives say, and what it foretells comes to pass."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.studies.tangent_kernel import (
    TangentNetwork,
    correlations,
    descend,
    full_width,
    kernel_regression,
    layered_kernel,
    limit_kernel,
    octaves,
    random_waves,
    tangent_kernel,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as these only lose time where threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def middles(count: int) -> Tensor:
    return ((torch.arange(count) + 0.5) / count).double()[:, None]


def network(
    width: int, depth: int = 2, seed: int = 0, frequencies: int = 3, bias: float = 0.3
) -> TangentNetwork:
    generator = torch.Generator().manual_seed(seed)
    return TangentNetwork(octaves(frequencies), 1, width, depth, generator, bias)


def target(points: Tensor) -> Tensor:
    return (2 * math.pi * points[:, 0]).sin() + 0.5 * (6 * math.pi * points[:, 0] + 0.5).sin()


def test_of_a_linear_model_it_is_the_product_of_its_features() -> None:
    x, y = torch.rand(5, 3), torch.rand(4, 3)
    found = tangent_kernel(nn.Linear(3, 1), x, y)
    torch.testing.assert_close(found, x @ y.T + 1)
    # As a mean over outputs it is the same for any number of them.
    torch.testing.assert_close(tangent_kernel(nn.Linear(3, 6), x, y), x @ y.T + 1)


def test_it_is_how_a_small_step_moves_the_outputs() -> None:
    net = network(20)
    x, y = torch.rand(6, 1).double(), torch.rand(1, 1).double()
    kernel, before = layered_kernel(net, x, y), net(x).detach()
    # One step on the single point y with the error 1.
    descend(net, y, net(y).detach() + 1, 1e-6, 1)
    moved = (net(x).detach() - before) / 1e-6
    torch.testing.assert_close(moved, kernel[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 3])
def test_layer_by_layer_it_is_the_same(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(24, depth)
    x, y = torch.rand(7, 1).double(), torch.rand(5, 1).double()
    whole = tangent_kernel(net, x, y)
    torch.testing.assert_close(layered_kernel(net, x, y), whole)
    # And in blocks of two points.
    numbers = sum(parameter.numel() for parameter in net.parameters())
    monkeypatch.setattr("unrender.studies.tangent_kernel.NUMBERS_AT_ONCE", 2 * numbers)
    torch.testing.assert_close(tangent_kernel(net, x, y), whole)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    depth=st.integers(1, 3),
    frequencies=st.integers(0, 6),
    bias=st.floats(0, 2),
)
def test_symmetric_and_nowhere_negative(
    seed: int, depth: int, frequencies: int, bias: float
) -> None:
    net = network(16, depth, seed, frequencies, bias)
    x = torch.rand(12, 1, generator=torch.Generator().manual_seed(seed)).double()
    for kernel in (layered_kernel(net, x, x), limit_kernel(net, x, x)):
        torch.testing.assert_close(kernel, kernel.T)
        values = torch.linalg.eigvalsh(kernel)
        # Of points in nearly one direction, the arc cosine keeps half of the digits.
        assert float(values[0]) > -1e-8 * float(values[-1])


def test_wide_networks_approach_the_limit() -> None:
    x = middles(16)
    off = []
    for width in (30, 300, 3000):
        net = network(width, depth=1)
        limit = limit_kernel(net, x, x)
        off.append(float((layered_kernel(net, x, x) - limit).norm() / limit.norm()))
    # As one over the root of the width.
    assert off[2] < 0.05
    assert off[2] < off[1] / 1.5 < off[0] / 2.25


def test_the_limit_of_two_layers_without_biases() -> None:
    """The arc-cosine formulas, for points at the angle φ on the circle."""
    angle = torch.linspace(0, math.pi, 9).double()
    circle = torch.stack([angle.cos(), angle.sin()], dim=1) * math.sqrt(2)
    generator = torch.Generator().manual_seed(0)
    net = TangentNetwork(lambda points: points, 2, 4, 1, generator, bias_scale=0.0)
    found = limit_kernel(net, circle[:1], circle)[0]
    both_on = 1 - angle / math.pi
    # cos φ κ₀ of the first layer's weights, and κ₁ of the second's.
    expected = angle.cos() * both_on + angle.sin() / math.pi + angle.cos() * both_on
    torch.testing.assert_close(found, expected)
    # κ₀ by brute force: how often a random direction has both points on its side.
    directions = torch.randn(200_000, 2, generator=generator).double()
    both = (
        ((directions @ circle[0] > 0)[:, None] & (directions @ circle.T > 0)).double().mean(0)
    )
    torch.testing.assert_close(2 * both, both_on, atol=0.01, rtol=0)


def test_regression_without_end_meets_the_training_points() -> None:
    net, x = network(64), middles(20)
    kernel = layered_kernel(net, x, x)
    errors = target(x)
    torch.testing.assert_close(kernel_regression(kernel, kernel, errors), errors)
    # Nothing has been learned at the start, and all after long.
    assert float(kernel_regression(kernel, kernel, errors, 0.0).abs().max()) == 0
    long = kernel_regression(kernel, kernel, errors, 1e9)
    torch.testing.assert_close(long, errors)


def test_regression_solves_the_flow() -> None:
    """By many small steps of df/dt = K (targets − f)."""
    kernel = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).double()
    kernel = kernel @ kernel.T
    errors, learned = torch.arange(6).double(), torch.zeros(6).double()
    for _ in range(10_000):
        learned = learned + 1e-5 * kernel @ (errors - learned)
    found = kernel_regression(kernel, kernel, errors, 0.1)
    torch.testing.assert_close(found, learned, rtol=1e-3, atol=1e-3)


def test_a_kernel_without_an_inverse_is_refused() -> None:
    x = torch.tensor([[0.3], [0.3], [0.7]]).double()
    kernel = layered_kernel(network(16), x, x)
    with pytest.raises(InputError, match="has no inverse"):
        kernel_regression(kernel, kernel, x[:, 0])
    # In finite time both points learn the mean of what is asked of them.
    errors = torch.tensor([1.0, 0.0, 0.0]).double()
    found = kernel_regression(kernel, kernel, errors, 1e6)
    torch.testing.assert_close(found[:2], torch.full((2,), 0.5).double(), rtol=0, atol=1e-4)


def foretold_and_trained(width: int, seed: int) -> tuple[float, float, float]:
    """What the prediction is off by, with and without the inverse; how far training moved."""
    net, x, places = network(width, 1, seed), middles(16), middles(101)
    kernel, across = layered_kernel(net, x, x), layered_kernel(net, places, x)
    rate = 0.5 / float(torch.linalg.eigvalsh(kernel)[-1])
    start, errors = net(places).detach(), (target(x) - net(x)).detach()
    descend(net, x, target(x), rate, 200)
    moved = net(places).detach() - start
    found = kernel_regression(kernel, across, errors, rate * 200)
    blur = across @ errors
    blur = blur * (blur @ moved) / (blur @ blur)
    return float((found - moved).norm()), float((blur - moved).norm()), float(moved.norm())


def test_a_wide_network_is_foretold() -> None:
    narrow = sum(foretold_and_trained(32, seed)[0] for seed in range(3)) / 3
    runs = [foretold_and_trained(2048, seed) for seed in range(3)]
    wide = sum(off for off, _, _ in runs) / 3
    assert wide < narrow / 3
    for off, blur, moved in runs:
        assert off < 0.05 * moved
        # The canary: without the inverse it is no prediction, even at the best scale.
        assert blur > 5 * off


def test_each_octave_narrows_the_kernel() -> None:
    places = torch.linspace(0, 1, 513).double()
    widths = []
    for frequencies in range(1, 8):
        net = network(4, frequencies=frequencies)
        kernel = correlations(limit_kernel(net, places[:, None], places[:, None]))
        torch.testing.assert_close(kernel.diagonal(), torch.ones(513).double())
        widths.append(full_width(places, kernel[256]))
    assert all(b < 0.8 * a for a, b in pairwise(widths))


def test_the_width_of_a_known_kernel() -> None:
    places = torch.linspace(-4, 4, 4001).double()
    bump = 0.25 + (-places.square() / 2).exp()
    # That of a normal distribution, up to its tail at 4.
    assert full_width(places, bump) == pytest.approx(2 * math.sqrt(2 * math.log(2)), abs=1e-3)
    # On the side on which it never falls so far, it ends where the places do.
    ramp = torch.arange(5).double()
    assert full_width(ramp, ramp) == pytest.approx(2.0)


def test_encodings_have_mean_square_one_and_repeat() -> None:
    points = torch.rand(200, 2).double()
    generator = torch.Generator().manual_seed(0)
    for encoding in (octaves(4), random_waves(2, 64, 5.0, generator)):
        features = encoding(points)
        torch.testing.assert_close(features.square().mean(1), torch.ones(200).double())
    torch.testing.assert_close(octaves(0)(points), 2 * points - 1)
    # Octaves have period 2.
    torch.testing.assert_close(octaves(4)(points + 2), octaves(4)(points))


def test_too_high_a_rate_is_refused() -> None:
    net, x = network(64), middles(8)
    top = float(torch.linalg.eigvalsh(layered_kernel(net, x, x))[-1])
    with pytest.raises(InputError, match="diverge"):
        descend(net, x, target(x), 20 / top, 300)

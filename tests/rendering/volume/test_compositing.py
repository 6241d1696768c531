"""Bins along rays: weights, colors and distortion."""

import math

import formulas
import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.rendering.volume.compositing import (
    bin_weights,
    depth_weights,
    distortion,
    packed_weights,
    render_bins,
    sum_in_front,
)


def bins(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    density = 5 * torch.rand(4, 9, generator=generator)
    color = torch.rand(4, 9, 3, generator=generator)
    return density, color, 3 * torch.rand(4, 10, generator=generator).sort(dim=1).values


def test_weights_are_differences_of_transmittance() -> None:
    density, color, edges = bins()
    weights = bin_weights(density, edges)
    left = (-(density * edges.diff(dim=1)).sum(1)).exp()
    torch.testing.assert_close(weights.sum(1), 1 - left)
    found = render_bins(density, color, edges)
    torch.testing.assert_close(found.color, (weights[..., None] * color).sum(1))
    torch.testing.assert_close(found.opacity, weights.sum(1))
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    torch.testing.assert_close(found.depth, (weights * middles).sum(1) / weights.sum(1))


def test_distortion_is_its_double_integral() -> None:
    density, _, edges = bins(1)
    weights = bin_weights(density, edges)
    found = distortion(edges, weights)
    u = torch.linspace(0, 3, 3001)[:-1] + 0.0005
    for ray in range(4):
        at = torch.searchsorted(edges[ray], u)
        inside = (at > 0) & (at < 10)
        heights = weights[ray] / edges[ray].diff()
        w = torch.where(inside, heights[(at - 1).clamp(0, 8)], 0.0) * 0.001
        apart = (u[:, None] - u).abs()
        assert abs(float(w @ apart @ w) / float(found[ray]) - 1) < 0.01


DENSE = [1e3, 1e8, 1e30, math.inf]


@pytest.mark.parametrize("dense", DENSE)
@pytest.mark.parametrize("at", [0, 4, 8])
def test_a_dense_bin_leaves_the_weights_of_the_others(dense: float, at: int) -> None:
    """Exclusive sums by subtraction would lose all bins in front: weights would sum to 1.57."""
    depth = torch.rand(4, 9, generator=torch.Generator().manual_seed(0))
    depth[:, at] = dense
    expected = torch.from_numpy(formulas.weights(depth.double().numpy(), np.ones((4, 9))))
    found = depth_weights(depth)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-30)
    assert bool((found.sum(1) <= 1 + 1e-6).all())
    packed = packed_weights(depth.flatten(), torch.ones(36), 9 * torch.arange(5))
    torch.testing.assert_close(packed.view(4, 9).double(), expected, rtol=1e-6, atol=1e-30)


def test_sums_in_front_are_exclusive() -> None:
    values = torch.tensor([[1e-3, 1e8, 2e-3, 0.0]])
    assert sum_in_front(values)[:, :2].tolist() == [[0.0, float(values[0, 0])]]
    assert sum_in_front(values[:, :1]).tolist() == [[0.0]]


def test_the_distortion_of_a_thin_dense_bin_is_its_own() -> None:
    """Behind a faint haze: an error of the sums would exceed the length of the bin."""
    edges = torch.tensor([[0.0, 100.0, 100.001, 200.0]])
    weights = torch.tensor([[1e-7, 1.0 - 1e-7, 0.0]])
    expected = formulas.distortion(edges.double().numpy(), weights.double().numpy())
    assert float(distortion(edges, weights)[0]) == pytest.approx(float(expected[0]), rel=1e-5)

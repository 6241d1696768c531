"""Gaussians' neighbours, and how they are divided."""

import math

import torch

from unrender.fields.gaussians import compute_relocation, neighbor_distance


def test_neighbours() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 2], [9, 9, 9]])
    assert math.isclose(float(neighbor_distance(points)[0]), math.sqrt(3), rel_tol=1e-5)
    assert float(neighbor_distance(points[:1])) == 0


def test_neighbours_far_from_the_origin_are_as_near_as_they_are() -> None:
    """In float64; distances by matrix products would be off by as much as they are long."""
    generator = torch.Generator().manual_seed(0)
    points = 50 + 0.01 * torch.rand(300, 3, generator=generator)
    apart = (points.double()[:, None] - points.double()).norm(dim=2)
    three = apart.sort(dim=1).values[:, 1:4]
    expected = three.square().mean(1).sqrt()
    torch.testing.assert_close(neighbor_distance(points).double(), expected, rtol=1e-6, atol=0)


def test_those_that_share_a_place_cover_what_the_one_did() -> None:
    """At its centre exactly, and along a line through it in all (Kheradmand et al., eq. 8)."""
    opacity, parts = torch.tensor([0.9, 0.3, 0.99, 0.5]), torch.tensor([2, 5, 3, 1])
    new, shrink = compute_relocation(opacity, parts)
    torch.testing.assert_close(1 - (1 - new) ** parts, opacity)
    x = torch.linspace(-8, 8, 16_001)
    for o, n, s, count in zip(opacity, new, shrink, parts, strict=True):
        one = torch.trapezoid(o * (-x * x / 2).exp(), x)
        many = torch.trapezoid(1 - (1 - n * (-((x / s) ** 2) / 2).exp()) ** count, x)
        torch.testing.assert_close(many, one, rtol=1e-4, atol=0)
    assert float(shrink[3]) == 1
    # Many at once stay finite.
    new, shrink = compute_relocation(torch.tensor([0.9999]), torch.tensor([5000]))
    assert 0 < float(new) < 1
    assert 0 < float(shrink) <= 1

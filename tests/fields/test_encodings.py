"""Encodings against their definitions."""

import torch

from unrender.fields.encodings import (
    along_axes,
    along_directions,
    geodesic_directions,
    integrated_encoding,
    positional_encoding,
)
from unrender.geometry.frustums import Gaussians


def gaussians() -> tuple[Gaussians, torch.Tensor]:
    """Five of them, and a square root of each covariance."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    root = 0.3 * torch.randn(5, 3, 3, generator=generator, dtype=torch.float64)
    return Gaussians(mean, root @ root.mT), root


def test_positions_become_sines_and_cosines() -> None:
    found = positional_encoding(torch.tensor([[0.5, -1.0]]), 2)
    x = torch.tensor([0.5, -1.0, 1.0, -2.0])
    torch.testing.assert_close(found, torch.cat([x.sin(), x.cos()])[None])


def test_gradients_of_every_order_are_those_of_the_definition() -> None:
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64, requires_grad=True)
    variance = torch.tensor([[0.1, 0.4]], dtype=torch.float64, requires_grad=True)
    encoded = lambda a, b: integrated_encoding(a, b, 3)  # noqa: E731
    assert torch.autograd.gradgradcheck(encoded, (x, variance))


def test_without_spread_the_integrated_encoding_is_the_positional_one() -> None:
    x = torch.randn(7, 3)
    torch.testing.assert_close(
        integrated_encoding(x, torch.zeros(7, 3), 4), positional_encoding(x, 4)
    )


def test_the_integrated_encoding_is_the_mean_over_the_gaussian() -> None:
    """mip-NeRF's eq. 14 by Monte Carlo integration, along axes and along other directions."""
    given, root = gaussians()
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(400_000, 1, 3, 1, generator=generator, dtype=torch.float64)
    drawn = given.mean + (root @ normal)[..., 0]
    directions = geodesic_directions().double()
    for (mean, variance), places in (
        (along_axes(given), drawn),
        (along_directions(given, directions), drawn @ directions.T),
    ):
        sampled = torch.cat(
            [positional_encoding(part, 2).mean(0)[None] for part in places.split(50_000)]
        ).mean(0)
        found = integrated_encoding(mean, variance, 2)
        torch.testing.assert_close(found, sampled, rtol=0, atol=6e-3)


def test_directions_are_spread_and_no_two_are_opposite() -> None:
    found = geodesic_directions()
    assert found.shape == (21, 3)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(21))
    cosine = (found @ found.T).abs() - torch.eye(21)
    assert float(cosine.max()) < 0.9
    # As even as can be: the same second moment along every axis.
    torch.testing.assert_close(found.T @ found, 7 * torch.eye(3), atol=1e-4, rtol=0)


def test_variance_along_directions_is_the_quadratic_form() -> None:
    given, _ = gaussians()
    directions = geodesic_directions().double()
    _, variance = along_directions(given, directions)
    expected = torch.einsum("di,nij,dj->nd", directions, given.covariance, directions)
    torch.testing.assert_close(variance, expected)

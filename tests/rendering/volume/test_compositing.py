"""Bins along rays: weights, colors and distortion."""

import torch
from torch import Tensor

from unrender.rendering.volume.compositing import bin_weights, distortion, render_bins


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

"""The errors that radiance fields minimise."""

import math

import pytest
import torch

from unrender.evaluation.images import ssim
from unrender.rendering.renderer import Rendering
from unrender.training.pixels import dissimilarity, entropy, own_colors, pixel_errors


def test_over_a_background_it_is_the_squared_error() -> None:
    rgba = torch.rand(9, 4)
    rendering = Rendering(torch.rand(9, 3), torch.rand(9), torch.zeros(9))
    white = torch.ones(3)
    found = pixel_errors(rendering, rgba, white)
    truth = rgba[:, :3] + (1 - rgba[:, 3:]) * white
    torch.testing.assert_close(found, (rendering.over(white) - truth).square().mean(1))


def test_without_one_it_is_the_mean_over_all() -> None:
    rgba = torch.rand(5, 4)
    rendering = Rendering(torch.rand(5, 3), torch.rand(5), torch.zeros(5))
    backgrounds = torch.rand(100_000, 1, 3)
    truth = rgba[:, :3] + (1 - rgba[:, 3:]) * backgrounds
    wanted = (rendering.over(backgrounds) - truth).square().mean((0, 2))
    torch.testing.assert_close(pixel_errors(rendering, rgba, None), wanted, rtol=0, atol=3e-3)


def test_dissimilarity_is_what_ssim_lacks() -> None:
    a, b = torch.rand(24, 31, 3), torch.rand(24, 31, 3)
    b = 0.7 * a + 0.3 * b
    torch.testing.assert_close(1 - dissimilarity(a, b), ssim(a, b), rtol=1e-4, atol=1e-5)
    assert float(dissimilarity(a, a).abs()) < 1e-6
    assert float(dissimilarity(a[:8], b[:8])) == 0


def test_entropy_is_largest_where_nothing_is_known() -> None:
    opacity = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0])
    found = entropy(opacity)
    assert float(found[2]) == pytest.approx(math.log(2))
    torch.testing.assert_close(found, found.flip(0))
    assert bool((found.diff()[:2] > 0).all())
    assert float(found[0]) < 1e-4


def test_colors_without_background_undo_the_premultiplication() -> None:
    generator = torch.Generator().manual_seed(0)
    color = torch.rand(20, 3, generator=generator)
    alpha = 0.01 + 0.99 * torch.rand(20, 1, generator=generator)
    rgba = torch.cat([color * alpha, alpha], dim=1)
    torch.testing.assert_close(own_colors(rgba), color)
    assert bool((own_colors(torch.zeros(2, 4)) == 0).all())

"""PSNR and SSIM: closed forms, known values and invariances."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.evaluation.images import ImageScores, psnr, score_images, ssim


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_constant_offset_is_its_closed_form() -> None:
    truth = torch.full((3, 8, 9, 3), 0.4)
    offset = torch.tensor([0.1, 0.01, 0.5])
    expected = -20 * offset.log10()
    torch.testing.assert_close(psnr(truth + offset[:, None, None, None], truth), expected)


def test_psnr_is_per_image_over_any_batch() -> None:
    a, b = noise(2, 3, 5, 4, 3), noise(2, 3, 5, 4, 3, seed=1)
    values = psnr(a, b)
    assert values.shape == (2, 3)
    torch.testing.assert_close(values[1, 2], psnr(a[1, 2], b[1, 2]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0.05, 1.0))
def test_scores_are_symmetric_and_do_not_see_flips(seed: int, strength: float) -> None:
    truth = noise(1, 16, 18, 3, seed=seed)
    other = truth + strength * (noise(1, 16, 18, 3, seed=seed + 1) - 0.5)
    for score in (psnr, ssim):
        torch.testing.assert_close(score(other, truth), score(truth, other))
        mirrored = score(other.flip(2), truth.flip(2))
        torch.testing.assert_close(mirrored, score(other, truth))
        turned = score(other.transpose(1, 2), truth.transpose(1, 2))
        torch.testing.assert_close(turned, score(other, truth))


def test_halving_the_error_gains_six_decibels() -> None:
    truth, error = noise(1, 8, 8, 3), noise(1, 8, 8, 3, seed=1) - 0.5
    gain = psnr(truth + error / 2, truth) - psnr(truth + error, truth)
    torch.testing.assert_close(gain, torch.tensor([20 * math.log10(2)]))


def test_ssim_of_constant_images_is_its_closed_form() -> None:
    # Without variance only the luminance term of Wang et al., eq. 6, is left.
    a, b, c1 = 0.3, 0.8, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    value = ssim(torch.full((1, 12, 12, 3), a), torch.full((1, 12, 12, 3), b))
    torch.testing.assert_close(value, torch.tensor([expected]))


def test_ssim_is_the_formula_of_wang_in_the_middle_of_one_window() -> None:
    # An 11×11 image has a single pixel with a whole window.
    a, b = noise(11, 11, 1).double()[..., 0], noise(11, 11, 1, seed=1).double()[..., 0]
    offset = torch.arange(-5, 6).double()
    bell = torch.exp(-(offset**2) / (2 * 1.5**2))
    weight = bell[:, None] * bell / bell.sum() ** 2
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    var_a, var_b = (weight * a * a).sum() - mean_a**2, (weight * b * b).sum() - mean_b**2
    covariance = (weight * a * b).sum() - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    value = ssim(a.float()[None, ..., None], b.float()[None, ..., None])
    torch.testing.assert_close(value, expected.float()[None], rtol=1e-4, atol=1e-5)


def test_ssim_is_the_mean_of_the_channels() -> None:
    a, b = noise(2, 12, 13, 3), noise(2, 12, 13, 3, seed=1)
    single = torch.stack([ssim(a[..., [c]], b[..., [c]]) for c in range(3)])
    torch.testing.assert_close(ssim(a, b), single.mean(0))


def test_ssim_refuses_images_below_its_window() -> None:
    with pytest.raises(InputError, match="12×10 pixels"):
        ssim(noise(1, 10, 12, 3), noise(1, 10, 12, 3))


def test_identical_images_are_perfect() -> None:
    truth = noise(2, 12, 12, 3)
    scores = score_images(truth, truth)
    assert scores.psnr.isposinf().all()
    assert scores.mean_psnr == math.inf
    assert scores.mean_ssim == pytest.approx(1)
    assert scores.to_json()["psnr"] is None


def test_an_identical_view_does_not_hide_the_others() -> None:
    scores = ImageScores(torch.tensor([20.0, math.inf, 30.0]), torch.tensor([0.5, 1.0, 0.75]))
    assert scores.mean_psnr == 25
    assert scores.mean_ssim == 0.75
    assert json.loads(json.dumps(scores.to_json(), allow_nan=False)) == {
        "psnr": 25.0,
        "ssim": 0.75,
        "lpips": None,
        "views": [
            {"psnr": 20.0, "ssim": 0.5},
            {"psnr": None, "ssim": 1.0},
            {"psnr": 30.0, "ssim": 0.75},
        ],
    }


def test_a_view_that_is_not_a_number_stays_visible() -> None:
    scores = ImageScores(torch.tensor([20.0, math.nan]), torch.tensor([0.5, 0.5]))
    assert math.isnan(scores.mean_psnr)


def test_the_mean_is_over_views_and_not_over_errors() -> None:
    truth = torch.zeros(2, 12, 12, 3)
    rendered = torch.stack([truth[0] + 0.1, truth[1] + 0.001])
    assert score_images(rendered, truth).mean_psnr == pytest.approx(40, abs=1e-4)

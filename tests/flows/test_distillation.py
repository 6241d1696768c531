"""Score distillation: its definitions, and where its gradients lead."""

import pytest
import torch

from unrender.flows.distillation import (
    AnnealedLevels,
    Distillation,
    distillation_gradient,
    flow_sds_gradient,
    injected_loss,
    sds_gradient,
    sds_weight,
    sjc_direction,
)
from unrender.flows.guidance import Denoiser, NoiseLevel, noise_predictor
from unrender.flows.noise import normal_like

MEAN, SPREAD = 0.3, 0.5


def gaussian(mean: float = MEAN, spread: float = SPREAD) -> Denoiser:
    """The exact denoiser of images whose numbers are independent and normal."""

    def denoise(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        signal, noise = t[:, None, None, None], 1 - t[:, None, None, None]
        gain = signal * spread**2 / (signal.square() * spread**2 + noise.square())
        return mean + gain * (x_t - signal * mean)

    return denoise


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(seed))


TIMES = torch.tensor([0.2, 0.5, 0.9])


def test_sds_is_as_it_is_defined() -> None:
    predicted, noise, weight = images(1), images(2), torch.tensor([1.0, 0.5, 0.0])
    found = sds_gradient(predicted, noise, weight)
    for k in range(3):
        torch.testing.assert_close(found[k], weight[k] * (predicted[k] - noise[k]))


def test_the_weight_of_zeronvs() -> None:
    level = NoiseLevel.of_alpha_bar(torch.tensor([0.9, 0.25]))
    torch.testing.assert_close(sds_weight(level), torch.tensor([0.1, 0.75]))
    flow = (1 - TIMES) ** 2 / (TIMES**2 + (1 - TIMES) ** 2)
    torch.testing.assert_close(sds_weight(NoiseLevel.of_time(TIMES)), flow)


def test_sjc_is_sds_with_the_opposite_sign() -> None:
    """n − ε̂ = (D(y + σ n) − y) / σ, with w = 1 and in every form of the model."""
    clean, noise, level = images(0), images(1), NoiseLevel.of_time(TIMES)
    denoised = gaussian()(level.mixed(clean, noise), TIMES)
    sjc = sjc_direction(denoised[None], clean, level.sigma)
    one = torch.ones(3)
    diffusion = NoiseLevel.of_alpha_bar(level.alpha_bar)
    predicted = noise_predictor(gaussian())(diffusion.mixed(clean, noise), level.alpha_bar)
    torch.testing.assert_close(sjc, noise - predicted)
    torch.testing.assert_close(sjc, -sds_gradient(predicted, noise, one))
    torch.testing.assert_close(sjc, -flow_sds_gradient(denoised, clean, TIMES, one))


def test_sds_stays_bounded_at_both_ends_and_sjc_does_not() -> None:
    """In a flow's form SDS's factor of x − x̂1 is t (1 − t) / (t² + (1 − t)²), 1/2 at most."""
    t = torch.tensor([0.01, 0.1, 0.5, 0.9, 0.99])
    clean, predicted = torch.ones(5, 4, 2, 2), torch.zeros(5, 4, 2, 2)
    sds = flow_sds_gradient(predicted, clean, t, sds_weight(NoiseLevel.of_time(t)))[:, 0, 0, 0]
    torch.testing.assert_close(sds, t * (1 - t) / (t**2 + (1 - t) ** 2), rtol=1e-3, atol=0)
    assert float(sds.max()) == pytest.approx(0.5)
    sjc = flow_sds_gradient(predicted, clean, t, torch.ones(5))[:, 0, 0, 0]
    assert float(sjc[-1]) == pytest.approx(99, rel=1e-3)


def test_sjc_is_averaged_over_the_noise() -> None:
    clean, sigma = images(0), torch.tensor([0.5, 1.0, 2.0])
    denoised = torch.stack([images(1), images(2)])
    found = sjc_direction(denoised, clean, sigma)
    each = [sjc_direction(sample[None], clean, sigma) for sample in denoised]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)


def test_the_drawn_gradients_differ_by_the_weight() -> None:
    """With the same noise, SDS is SJC times 1 − ᾱ, once the sign of SJC is changed."""
    gradients = [
        distillation_gradient(kind, gaussian(), images(), TIMES, torch.Generator(), samples=3)
        for kind in ("sds", "sjc")
    ]
    weight = sds_weight(NoiseLevel.of_time(TIMES))[:, None, None, None]
    torch.testing.assert_close(gradients[0], weight * gradients[1], rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_noise_drawn() -> None:
    clean = images()
    noise = normal_like(clean, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    found = distillation_gradient("sds", gaussian(), clean, TIMES, generator)
    denoised = gaussian()(NoiseLevel.of_time(TIMES).mixed(clean, noise), TIMES)
    weight = sds_weight(NoiseLevel.of_time(TIMES))
    torch.testing.assert_close(found, flow_sds_gradient(denoised, clean, TIMES, weight))


@pytest.mark.parametrize("kind", ["sds", "sjc"])
def test_the_expected_gradient_is_the_score_of_the_blurred_density(kind: Distillation) -> None:
    """Of a Gaussian prior, −∇ log p_σ(y) = (y − mean) / (spread² + σ²), times σ (and w)."""
    clean, t, count = torch.full((1, 4, 1, 1), 2.0), torch.tensor([0.4]), 20_000
    generator = torch.Generator().manual_seed(0)
    many = clean.expand(count, -1, -1, -1)
    found = distillation_gradient(kind, gaussian(), many, t.expand(count), generator).mean(0)
    level = NoiseLevel.of_time(t)
    expected = level.sigma * (2.0 - MEAN) / (SPREAD**2 + level.sigma**2)
    if kind == "sds":
        expected = expected * sds_weight(level)
    torch.testing.assert_close(found, expected.expand(4, 1, 1).clone(), rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", ["sds", "sjc"])
def test_a_gaussian_prior_pulls_to_its_mean(kind: Distillation) -> None:
    levels, generator = AnnealedLevels(), torch.Generator().manual_seed(0)
    x = images(3).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.03)
    for step in range(400):
        t = levels.sample(3, step / 400, generator)
        gradient = distillation_gradient(kind, gaussian(), x, t, generator, samples=4)
        optimizer.zero_grad()
        injected_loss(x, gradient).backward()
        torch.testing.assert_close(x.grad, gradient)
        optimizer.step()
    assert (x - MEAN).abs().max() < 0.3
    assert (images(3) - MEAN).abs().max() > 1


def test_the_injected_gradient_follows_the_chain_rule() -> None:
    weights = torch.tensor([2.0, -1.0], requires_grad=True)
    x, gradient = torch.arange(6.0).view(3, 2), images()[0, 0, :1].expand(3, 2)
    injected_loss(x * weights, gradient).backward()
    torch.testing.assert_close(weights.grad, (x * gradient).sum(0))


def test_levels_are_annealed() -> None:
    levels = AnnealedLevels(0.1, 0.9, 0.05, 0.3)
    assert levels.bounds(0.0) == (0.1, 0.9)
    assert levels.bounds(1.0) == pytest.approx((0.05, 0.3))
    for fraction in (0.0, 0.5, 1.0):
        low, high = levels.bounds(fraction)
        noise = 1 - levels.sample(2000, fraction, torch.Generator())
        assert low <= noise.min() < low + 0.02
        assert high - 0.02 < noise.max() <= high
    # The least noise is never above the most.
    assert AnnealedLevels(0.4, 0.5, 0.4, 0.2).bounds(1.0) == pytest.approx((0.2, 0.2))

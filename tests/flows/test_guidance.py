"""Forms of one denoiser, and classifier-free guidance."""

import pytest
import torch

from unrender.flows.guidance import NoiseLevel, guided, noise_predictor, sigma_denoiser

TIMES = torch.tensor([0.05, 0.3, 0.5, 0.9], dtype=torch.float64)


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 4, 3, 3, generator=generator, dtype=torch.float64)
    return clean, noise


def forms() -> list[NoiseLevel]:
    flow = NoiseLevel.of_time(TIMES)
    return [flow, NoiseLevel.of_alpha_bar(flow.alpha_bar), NoiseLevel.of_sigma(flow.sigma)]


def test_levels_as_they_are_defined() -> None:
    t = TIMES
    flow, diffusion, plain = forms()
    torch.testing.assert_close(flow.sigma, (1 - t) / t)
    torch.testing.assert_close(flow.alpha_bar, t**2 / (t**2 + (1 - t) ** 2))
    torch.testing.assert_close(diffusion.signal, flow.alpha_bar.sqrt())
    torch.testing.assert_close(diffusion.noise, (1 - flow.alpha_bar).sqrt())
    torch.testing.assert_close(plain.signal, torch.ones_like(t))
    torch.testing.assert_close(NoiseLevel.of_sigma(plain.sigma).time, 1 / (1 + plain.sigma))


def test_all_forms_of_a_level_have_its_numbers() -> None:
    for level in forms():
        torch.testing.assert_close(level.time, TIMES)
        torch.testing.assert_close(level.sigma, (1 - TIMES) / TIMES)
        torch.testing.assert_close(level.alpha_bar, 1 / (1 + level.sigma**2))


def test_mixtures_differ_by_a_factor() -> None:
    clean, noise = pair()
    for level in forms():
        for other in forms():
            found = level.in_form_of(other, level.mixed(clean, noise))
            torch.testing.assert_close(found, other.mixed(clean, noise))


def test_predictions_determine_each_other() -> None:
    clean, noise = pair()
    for level in forms():
        mixture = level.mixed(clean, noise)
        torch.testing.assert_close(level.clean_from_noise(mixture, noise), clean)
        torch.testing.assert_close(level.noise_from_clean(mixture, clean), noise)
        velocity = level.velocity_from_clean(mixture, clean)
        torch.testing.assert_close(velocity, clean - noise)
        torch.testing.assert_close(level.clean_from_velocity(mixture, velocity), clean)
        root, rest = (
            each.sqrt()[:, None, None, None] for each in (level.alpha_bar, 1 - level.alpha_bar)
        )
        v = level.v_from_clean(mixture, clean)
        torch.testing.assert_close(v, root * noise - rest * clean)
        torch.testing.assert_close(level.clean_from_v(mixture, v), clean)


def test_the_velocity_of_a_flow_is_its_derivative() -> None:
    clean, noise = pair()
    h = 1e-6
    before, after = (NoiseLevel.of_time(TIMES + d).mixed(clean, noise) for d in (-h, h))
    mixture = NoiseLevel.of_time(TIMES).mixed(clean, noise)
    velocity = NoiseLevel.of_time(TIMES).velocity_from_clean(mixture, clean)
    torch.testing.assert_close((after - before) / (2 * h), velocity, rtol=0, atol=1e-8)


def perfect(clean: torch.Tensor):
    """A denoiser that knows the image, and checks that it is asked in the flow's form."""
    _, noise = pair()

    def denoise(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        torch.testing.assert_close(x_t, NoiseLevel.of_time(t).mixed(clean, noise))
        return clean

    return denoise


def test_a_flow_is_a_diffusion_model() -> None:
    clean, noise = pair()
    flow, diffusion, plain = forms()
    denoise = perfect(clean)
    found = noise_predictor(denoise)(diffusion.mixed(clean, noise), diffusion.alpha_bar)
    torch.testing.assert_close(found, noise)
    found = sigma_denoiser(denoise)(plain.mixed(clean, noise), plain.sigma)
    torch.testing.assert_close(found, clean)
    # The denoiser does check.
    with pytest.raises(AssertionError):
        sigma_denoiser(denoise)(flow.mixed(clean, noise), plain.sigma)


def test_guidance_of_one_is_the_conditional_prediction() -> None:
    conditional, unconditional = pair()
    torch.testing.assert_close(guided(conditional, unconditional, 1.0), conditional)
    assert torch.equal(guided(conditional, unconditional, 0.0), unconditional)
    beyond = guided(conditional, unconditional, 3.0)
    torch.testing.assert_close(beyond, 3 * conditional - 2 * unconditional)


def test_guidance_is_the_same_for_every_prediction() -> None:
    """Of clean images, of noise and of velocities: they are affine in each other."""
    conditional, unconditional = pair()
    level, mixture = NoiseLevel.of_time(TIMES), pair()[0] + 1
    direct = level.noise_from_clean(mixture, guided(conditional, unconditional, 4.0))
    by_noise = guided(
        level.noise_from_clean(mixture, conditional),
        level.noise_from_clean(mixture, unconditional),
        4.0,
    )
    torch.testing.assert_close(direct, by_noise)

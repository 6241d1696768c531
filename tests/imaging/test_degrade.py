"""Degradations of images have the statistics and shapes of their definitions."""

import pytest
import torch

from unrender.imaging.degrade import (
    compressed_video,
    defocus,
    disc,
    jpeg,
    motion_blur,
    photon_noise,
    quantized,
)


@pytest.mark.parametrize(("light", "photons", "read"), [(0.5, 40.0, 0.0), (0.02, 200.0, 5.0)])
def test_noise_has_the_mean_of_the_light_and_the_variance_of_photons_and_electrons(
    light: float, photons: float, read: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = photon_noise(torch.full((400_000,), light), photons, read, generator).double()
    variance = light / photons + (read / photons) ** 2
    assert float(values.mean()) == pytest.approx(light, abs=5 * (variance / 400_000) ** 0.5)
    assert float(values.var()) == pytest.approx(variance, rel=0.02)
    if not read:
        assert torch.equal((values * photons).round(), (values * photons).float().round())


@pytest.mark.parametrize("diameter", [2.5, 7.0, 12.0])
def test_a_point_out_of_focus_is_a_disc_of_the_diameter(diameter: float) -> None:
    weights = disc(diameter)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
    side = len(weights)
    places = torch.arange(side) - side // 2
    second = float((weights * places[:, None].square()).sum())
    # A disc of diameter d has the variance d² / 16 along each axis; whole pixels add 1 / 12.
    assert second == pytest.approx(diameter**2 / 16 + 1 / 12, abs=0.07)
    image = torch.zeros(31, 31, 1)
    image[15, 15] = 1
    blurred = defocus(image, diameter)[..., 0]
    half = side // 2
    seen = blurred[15 - half : 16 + half, 15 - half : 16 + half]
    torch.testing.assert_close(seen, weights.to(seen))
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)


def test_a_disc_of_one_pixel_blurs_nothing() -> None:
    image = torch.rand(5, 6, 4)
    assert torch.equal(defocus(image, 1.0), image)


def test_blur_leaves_what_is_uniform_and_the_amount_of_light() -> None:
    image = torch.full((9, 12, 3), 0.3)
    motion = torch.tensor([3.0, -2.0]).expand(9, 12, 2)
    torch.testing.assert_close(defocus(image, 5.0), image)
    torch.testing.assert_close(motion_blur(image, motion), image)


def test_a_moving_point_is_a_trail_of_the_length_and_direction() -> None:
    image = torch.zeros(41, 41, 1)
    image[20, 20] = 1
    for x, y in ((8.0, 0.0), (6.0, 6.0), (0.0, -5.0)):
        trail = motion_blur(image, torch.tensor([x, y]).expand(41, 41, 2))[..., 0]
        assert float(trail.sum()) == pytest.approx(1, abs=1e-3)
        place = torch.arange(41) - 20.0
        down, across = trail.sum(1) @ place, trail.sum(0) @ place
        assert abs(float(down)) < 1e-3
        assert abs(float(across)) < 1e-3
        # A uniform trail of length l has the variance l² / 12, and bilinear interpolation adds
        # at most 1 / 4.
        for length, sums in ((x, trail.sum(0)), (y, trail.sum(1))):
            found = float(sums @ place.square()) - length**2 / 12
            assert -0.02 < found < 0.27
        mixed = float((trail * place * place[:, None]).sum())
        assert mixed == pytest.approx(x * y / 12, abs=0.05 * abs(x * y) / 12 + 1e-3)


def test_values_are_rounded_to_the_levels_of_the_bits() -> None:
    image = torch.linspace(0, 1, 1000)
    for bits in (1, 4, 8):
        found = quantized(image, bits)
        assert len(found.unique()) == 2**bits
        assert float((found - image).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
        torch.testing.assert_close(quantized(found, bits), found)


def test_compression_loses_more_at_lower_quality_and_keeps_the_size() -> None:
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 6, 45), torch.linspace(0, 9, 61), indexing="ij")
    smooth = torch.stack([x.sin(), y.cos(), (x + y).sin()], dim=-1) / 2 + 0.5
    image = (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    errors = [float((jpeg(image, quality) - image).abs().mean()) for quality in (95, 50, 5)]
    assert errors == sorted(errors)
    assert errors[0] < 0.06 < errors[2]
    frames = torch.stack([image.roll(k, dims=1) for k in range(4)])
    coded = [compressed_video(frames, crf) for crf in (5, 45)]
    errors = [float((each - frames).abs().mean()) for each in coded]
    assert errors[0] < 0.06 < errors[1]

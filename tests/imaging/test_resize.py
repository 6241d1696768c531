"""The box filter against its definition."""

import pytest
import torch

from unrender.imaging.resize import area_average, overlap_fractions


def images(height: int, width: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(2, height, width, channels, generator=generator)


@pytest.mark.parametrize("size", [(32, 32), (7, 50), (200, 3), (64, 48)])
def test_mean_is_preserved(size: tuple[int, int]):
    source = images(50, 40)
    result = area_average(source, *size)
    assert result.shape == (2, size[1], size[0], 3)
    torch.testing.assert_close(result.mean((1, 2)), source.mean((1, 2)))


def test_constant_is_preserved():
    constant = torch.full((1, 30, 41, 4), 0.37)
    result = area_average(constant, 13, 17)
    torch.testing.assert_close(result, torch.full((1, 17, 13, 4), 0.37))


def test_equals_the_mean_of_blocks_for_whole_factors():
    source = images(24, 36)
    blocks = source.unflatten(2, (12, 3)).unflatten(1, (6, 4)).mean((2, 4))
    torch.testing.assert_close(area_average(source, 12, 6), blocks)


def test_equals_brute_force_from_200_to_32():
    """Each pixel repeated 32 times and each 200 averaged is the same integral."""
    source = images(200, 200)
    line = source.double().repeat_interleave(32, dim=2).unflatten(2, (32, 200)).mean(3)
    expected = line.repeat_interleave(32, dim=1).unflatten(1, (32, 200)).mean(2)
    torch.testing.assert_close(
        area_average(source, 32, 32).double(), expected, atol=1e-6, rtol=0
    )


def test_same_size_is_the_identity():
    source = images(9, 11)
    assert torch.equal(area_average(source, 11, 9), source)


def test_every_source_pixel_counts_equally():
    shares = overlap_fractions(200, 32)
    torch.testing.assert_close(shares.sum(1), torch.ones(32, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(0), torch.full((200,), 0.16, dtype=torch.float64))

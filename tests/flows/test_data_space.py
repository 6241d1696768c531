"""Decoding inverts encoding."""

import torch

from unrender.flows.data_space import Pixels


def test_pixels_survive_the_scaling() -> None:
    images = torch.rand(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    codes = Pixels().encode(images)
    assert codes.shape == (3, Pixels().channels, 4, 4)
    torch.testing.assert_close(codes[:, 3], 2 * images[..., 3] - 1)
    torch.testing.assert_close(Pixels().decode(codes), images, rtol=0, atol=1e-6)
    assert Pixels().decode(9 * codes).max() == 1

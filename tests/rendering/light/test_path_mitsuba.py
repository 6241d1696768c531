"""The path tracer against Mitsuba in three scenes, by block means over standard errors."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from unrender.rendering.light.path_tracer import PathOptions, path_radiance

pytest.importorskip("mitsuba", reason="mitsuba is an extra: pip install unrender[mitsuba]")

from path_against_mitsuba import MAX_DEPTH, SETTINGS, mitsuba_image, mitsuba_scene

SIZE, SAMPLES, SIDE = 32, 256, 8
INTERPOLATED = 3e-3
"""Relative tolerance: pixels of the sky are constant here, and interpolated in Mitsuba."""


def excess(a: Tensor, b: Tensor, variance: Tensor) -> float:
    """Mean square difference of blocks over its variance: 1 if the expectations are equal."""

    def blocks(image: Tensor) -> Tensor:
        return image.unflatten(1, (-1, SIDE)).unflatten(0, (-1, SIDE)).mean((1, 3))

    # Rare bright paths, such as caustics of glass, are missing in both variance estimates.
    expected = blocks(variance) / SIDE**2 + (INTERPOLATED * blocks(b)).square()
    ratio = (blocks(a) - blocks(b)).square() / expected.clamp_min(1e-10)
    return float(ratio.mean())


@pytest.mark.parametrize("name", SETTINGS)
def test_images_agree_within_their_noise(name: str, tmp_path: Path) -> None:
    setting = SETTINGS[name]()
    theirs = mitsuba_scene(setting, SIZE, tmp_path)
    pair = [mitsuba_image(theirs, SAMPLES, seed) for seed in range(2)]
    options = PathOptions(samples=2 * SAMPLES, max_depth=MAX_DEPTH, show_environment=True)
    ours = path_radiance(setting.scene, setting.cameras(SIZE), options)
    image = ours.color[0]
    # Both use the same number of paths, and so have about the same error.
    mean, variance = (pair[0] + pair[1]) / 2, 2 * ours.error[0].square()
    assert excess(image, mean, variance) < 2
    # Control: an image that is 5% brighter differs.
    assert excess(1.05 * image, mean, variance) > 4
    told, seen = ours.error[0].square().mean(), (pair[0] - pair[1]).square().mean() / 4
    assert 0.3 < float(told / seen) < 2.0
    torch.testing.assert_close(image.mean(), mean.mean(), rtol=0.02, atol=0)

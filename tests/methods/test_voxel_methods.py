"""The total variation of Plenoxels."""

import math

import pytest
import torch

from unrender.data.dataset import Dataset
from unrender.methods.plenoxels import Plenoxels, variation
from unrender.training.method import Progress


def test_the_variation_of_a_slope_does_not_depend_on_the_resolution() -> None:
    """Eq. 3: differences are relative to the resolution, and channels are summed."""
    for size in (64, 128, 256):
        values = torch.arange(size)[:, None] * torch.tensor([[3.0, -4.0]]) / size
        rows = torch.arange(size - 1)
        beside = torch.stack([rows + 1, rows, rows])
        found = float(variation(values, rows, beside, size / 256))
        assert found == pytest.approx(7 / 256, rel=0.01)


def test_the_variation_ends(small_scene: Dataset) -> None:
    method = Plenoxels(coarsest=8, finest=16, rays=16, variation_until=0.3)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.density[1::3] += 1
    for fraction, some in ((0.0, True), (0.29, True), (0.3, False), (0.9, False)):
        generator = torch.Generator().manual_seed(0)
        losses = method.losses(model, small_scene.train, Progress(0, fraction), generator)
        assert bool(losses["density variation"].detach() > 0) == some
        assert math.isfinite(float(losses["color"].detach()))

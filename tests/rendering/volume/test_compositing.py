"""Weights of optical depths, by their definition."""

import math

import formulas
import numpy as np
import pytest
import torch

from unrender.rendering.volume.compositing import (
    depth_weights,
    sum_in_front,
)

DENSE = [1e3, 1e8, 1e30, math.inf]


@pytest.mark.parametrize("dense", DENSE)
@pytest.mark.parametrize("at", [0, 4, 8])
def test_a_dense_bin_leaves_the_weights_of_the_others(dense: float, at: int) -> None:
    """Exclusive sums by subtraction would lose all bins in front: weights would sum to 1.57."""
    depth = torch.rand(4, 9, generator=torch.Generator().manual_seed(0))
    depth[:, at] = dense
    expected = torch.from_numpy(formulas.weights(depth.double().numpy(), np.ones((4, 9))))
    found = depth_weights(depth)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-30)
    assert bool((found.sum(1) <= 1 + 1e-6).all())


def test_sums_in_front_are_exclusive() -> None:
    values = torch.tensor([[1e-3, 1e8, 2e-3, 0.0]])
    assert sum_in_front(values)[:, :2].tolist() == [[0.0, float(values[0, 0])]]
    assert sum_in_front(values[:, :1]).tolist() == [[0.0]]

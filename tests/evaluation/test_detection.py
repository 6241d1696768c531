"""Metrics of detection against their definitions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrender.evaluation.detection import auroc, risk_coverage

numbers = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(inside=numbers, outside=numbers)
def test_auroc_is_the_share_of_pairs_in_order(
    inside: list[float], outside: list[float]
) -> None:
    pairs = [(a < b) + 0.5 * (a == b) for a in inside for b in outside]
    found = auroc(torch.tensor(inside), torch.tensor(outside))
    assert found == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_of_nothing_is_unknown() -> None:
    assert math.isnan(auroc(torch.zeros(0), torch.ones(3)))


def test_risk_falls_to_the_mean_error_and_starts_at_the_surest() -> None:
    expected, actual = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([9.0, 0.0, 3.0])
    torch.testing.assert_close(risk_coverage(expected, actual), torch.tensor([0.0, 1.5, 4.0]))

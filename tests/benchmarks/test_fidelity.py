"""Shared functions compute the formulas of their papers, in single precision."""

import ast
from collections.abc import Callable
from pathlib import Path

import fidelity
import formulas
import numpy as np
import pytest
import torch
from fidelity import CASES, MOST, Pairs, Random, error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_agrees_with_the_paper(case: Callable[[Random], Pairs]) -> None:
    for number, (found, expected) in enumerate(case(Random(0))):
        assert error(found, expected) <= MOST, f"result {number}"


def test_a_wrong_result_is_seen() -> None:
    """One number of many that is off, NaN, another shape, and another magnitude of all."""
    expected = np.linspace(1, 1000, 50)
    found = torch.from_numpy(expected.copy())
    assert error(found, expected) == 0
    found[3] += 0.5
    assert error(found, expected) == pytest.approx(5e-4)
    found[3] = torch.nan
    assert not error(found, expected) <= MOST
    assert not error(1.001 * torch.from_numpy(expected), expected) <= MOST
    with pytest.raises(ValueError, match="shapes"):
        error(torch.ones(3), np.ones(4))


def test_every_formula_is_compared() -> None:
    source = Path(fidelity.__file__).read_text() + Path(formulas.__file__).read_text()
    used = {
        node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)
    }
    used |= {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    names = {name for name, value in vars(formulas).items() if callable(value)}
    own = {name for name in names if getattr(formulas, name).__module__ == "formulas"}
    assert len(own) > 25
    assert own <= used

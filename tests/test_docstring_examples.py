"""The examples in docstrings print what they say."""

import doctest

import pytest
import torch

from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras, as_slice
from unrender.imaging.color import as_color

# `Dataset` as a whole loads a built-in scene, which takes minutes the first time.
DOCUMENTED = (Cameras, as_slice, as_color, Views, Dataset.__repr__)
NAMES = {"torch": torch, "Cameras": Cameras, "Views": Views, "Dataset": Dataset}


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda each: each.__qualname__)
def test_examples_print_what_they_say(documented) -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = {**NAMES, documented.__name__: documented}
    # `module=False` finds functions that a type checker has wrapped.
    found = finder.find(documented, documented.__qualname__, module=False, globs=names)  # pyright: ignore[reportArgumentType]
    examples = [test for test in found if test.examples]
    assert examples
    runner = doctest.DocTestRunner(verbose=False)
    for test in examples:
        report: list[str] = []
        assert not runner.run(test, out=report.append).failed, "".join(report)

"""A canary: without the shape checker the annotations of tensors mean nothing."""

import pytest
import torch
from jaxtyping import TypeCheckError

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, so3_exp


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        so3_exp(torch.zeros(2))


def test_a_wrong_dtype_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        so3_exp(torch.zeros(3, dtype=torch.long))


def test_sizes_that_disagree_between_arguments_are_refused() -> None:
    with pytest.raises(TypeCheckError):
        compose(torch.zeros(2, 3, 4), torch.zeros(5, 3, 4))


def test_sizes_that_disagree_between_fields_are_refused() -> None:
    with pytest.raises(TypeCheckError):
        Cameras(torch.zeros(2, 3, 4), torch.zeros(5, 3, 3), 8, 8)

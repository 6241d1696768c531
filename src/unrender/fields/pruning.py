"""When pruning is safe: what it keeps must be most of the scene."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MIN_KEPT = 0.9
"""Fraction of the scene that pruning must keep. Where it keeps less, the scene has not emerged
from the haze yet, and pruning would empty it for good."""


def keeps_most(values: Float[Tensor, "n"], kept: Bool[Tensor, "n"]) -> bool:
    """Whether what is kept has at least MIN_KEPT of the sum of all values, which are not
    negative, and more than nothing.
    """
    total = values.sum(dtype=torch.float64)
    return bool((total > 0) & (values[kept].sum(dtype=torch.float64) >= MIN_KEPT * total))

"""How well a number tells two kinds of things apart, and how well errors are foretold."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def auroc(inside: Float[Tensor, "inside"], outside: Float[Tensor, "outside"]) -> float:
    """Probability that a number from outside is greater than one from inside; ties count half.

    The area under the receiver operating characteristic (Hanley and McNeil 1982); 0.5 is
    chance. NaN where a side is empty.
    """
    if not len(inside) or not len(outside):
        return math.nan
    known, asked = inside.sort().values, outside.contiguous()
    below = sum(torch.searchsorted(known, asked, right=r).double() for r in (False, True))
    return float(torch.as_tensor(below).mean() / (2 * len(known)))


def risk_coverage(
    expected: Float[Tensor, "views"], actual: Float[Tensor, "views"]
) -> Float[Tensor, "views"]:
    """Mean actual error of the n estimates that expect the least, for n from 1 on."""
    ordered = actual[expected.argsort(stable=True)].double()
    return (ordered.cumsum(0) / torch.arange(1, len(ordered) + 1).to(ordered)).float()

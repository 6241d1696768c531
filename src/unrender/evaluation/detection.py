"""How well a number tells two kinds of things apart, and how well errors are foretold."""

import math

import numpy as np
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
    from scipy.stats import rankdata  # noqa: PLC0415 - half a second that few calls need

    ranks = np.asarray(rankdata(torch.cat([outside, inside]).cpu().double().numpy()))
    least = len(outside) * (len(outside) + 1) / 2
    return float((ranks[: len(outside)].sum() - least) / (len(outside) * len(inside)))


def risk_coverage(
    expected: Float[Tensor, "views"], actual: Float[Tensor, "views"]
) -> Float[Tensor, "views"]:
    """Mean actual error of the n estimates that expect the least, for n from 1 on."""
    ordered = actual[expected.argsort(stable=True)].double()
    return (ordered.cumsum(0) / torch.arange(1, len(ordered) + 1).to(ordered)).float()

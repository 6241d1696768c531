"""Metrics of out-of-distribution detection and of expected errors."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def auroc(inside: Float[Tensor, "inside"], outside: Float[Tensor, "outside"]) -> float:
    """Probability that a value of `outside` exceeds one of `inside`; ties count half.

    The area under the receiver operating characteristic (Hanley and McNeil 1982); 0.5 is
    chance. NaN if either set is empty.
    """
    if not len(inside) or not len(outside):
        return math.nan
    reference, queries = inside.sort().values, outside.contiguous()
    below = sum(torch.searchsorted(reference, queries, right=r).double() for r in (False, True))
    return float(torch.as_tensor(below).mean() / (2 * len(reference)))


def risk_coverage(
    expected: Float[Tensor, "views"], actual: Float[Tensor, "views"]
) -> Float[Tensor, "views"]:
    """Mean actual error of the n estimates with the smallest expected errors, for all n ≥ 1."""
    ordered = actual[expected.argsort(stable=True)].double()
    return (ordered.cumsum(0) / torch.arange(1, len(ordered) + 1).to(ordered)).float()

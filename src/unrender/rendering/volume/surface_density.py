"""How densely a surface stops light, if all that is known is its signed distance.

f is the signed distance, negative inside, in the unit of length that `sharpness` and `beta` are
in. Optical depths are those of bins: what `kernels/composite` takes as density × length.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def logistic_depth(
    first: Float[Tensor, "*batch"],
    last: Float[Tensor, "*batch"],
    sharpness: Float[Tensor, ""],
) -> Float[Tensor, "*batch"]:
    """Optical depth of a bin from the distance at its first and its last edge (NeuS, eq. 13).

    NeuS' opacity is max((Φ(first) − Φ(last)) / Φ(first), 0), with the logistic CDF
    Φ(f) = 1 / (1 + exp(−sharpness f)); its optical depth −log(1 − opacity) is therefore
    log Φ(first) − log Φ(last), which loses no digits where the opacity is nearly 1.
    """
    return (logsigmoid(sharpness * first) - logsigmoid(sharpness * last)).clamp_min(0)


def laplace_density(
    distance: Float[Tensor, "*batch"], beta: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """α Ψ(−f) with the CDF Ψ of the Laplace distribution of scale β, and α = 1 / β.

    VolSDF, eq. 2 and 3: 1 / β inside, half of it on the surface, and soon nothing outside.
    """
    falling = 0.5 * (-distance.abs() / beta).exp()
    return torch.where(distance > 0, falling, 1 - falling) / beta


def opacity_error_bounds(
    distance: Float[Tensor, "rays edges"],
    t: Float[Tensor, "rays edges"],
    beta: Float[Tensor, "rays"],
) -> Float[Tensor, "rays bins"]:
    """How far the opacity up to any place in each bin may be off (VolSDF, eq. 15).

    It is off because the density in a bin is taken to be what it is at the bin's first edge.
    True where f is a true distance.
    """
    beta, length = beta[:, None], t.diff(dim=1)
    nearest = least_distance(distance, t)
    errors = length.square() * (-nearest / beta).exp() / (4 * beta.square())
    depth = length * laplace_density(distance[:, :-1], beta)
    in_front = depth.cumsum(1) - depth
    # Large errors make the bound useless, not infinite.
    return (-in_front).exp() * torch.expm1(errors.cumsum(1).clamp_max(30.0))


def least_distance(
    distance: Float[Tensor, "rays edges"], t: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """How near to the surface a ray can come in each bin, by true distances (VolSDF, sec. 3.3).

    Around either edge lies a ball without surface. Where the two leave a part of the bin free,
    the ray may meet it. Else it may be as near as the circle in which the balls meet: the
    height of a triangle with sides |f|, |f'| and the bin's length; or, if its foot is not in
    the bin, as the nearer edge.
    """
    a, b = distance[:, :-1].abs(), distance[:, 1:].abs()
    length = t.diff(dim=1).clamp_min(1e-12)
    # Of Heron's formula; factors below 0 are cases of their own.
    half = (a + b + length) / 2
    area2 = half * (half - a) * (half - b) * (half - length)
    height = 2 * area2.clamp_min(0).sqrt() / length
    obtuse = (a.square() - b.square()).abs() >= length.square()
    crossed = distance[:, :-1].sign() * distance[:, 1:].sign() < 0
    height = torch.where(obtuse, torch.minimum(a, b), height)
    return torch.where((a + b <= length) | crossed, 0.0, height)


def safe_beta(
    length: Float[Tensor, "rays"], bins: int, tolerance: float
) -> Float[Tensor, "rays"]:
    """A β with which as many equal bins keep the bound (VolSDF, lemma 2, with α = 1 / β)."""
    return length / math.sqrt(4 * bins * math.log1p(tolerance))

"""Volume density from signed distances (NeuS and VolSDF).

f is the signed distance, negative inside, in the unit of length of `sharpness` and `beta`.
Optical depths are density × length of bins, as `kernels/composite` takes them.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from unrender.rendering.volume.compositing import sum_in_front


def logistic_depth(
    first: Float[Tensor, "*batch"],
    last: Float[Tensor, "*batch"],
    sharpness: Float[Tensor, ""],
) -> Float[Tensor, "*batch"]:
    """Optical depth of a bin from the signed distances at its two edges (NeuS, eq. 13).

    The opacity in NeuS is max((Φ(first) − Φ(last)) / Φ(first), 0), with the logistic CDF
    Φ(f) = 1 / (1 + exp(−sharpness f)); its optical depth −log(1 − opacity) is therefore
    log Φ(first) − log Φ(last), which is accurate for opacities near 1, too.
    """
    a, b = sharpness * first, sharpness * last
    # Two forms of the same, since log Φ(a) is −softplus(−a) = a − softplus(a). Deep inside,
    # where log Φ is large, the second would lose the digits of thin bins.
    inside = sharpness * (first - last) - softplus(a) + softplus(b)
    depth = torch.where((a < 0) & (b < 0), inside, softplus(-b) - softplus(-a))
    return depth.clamp_min(0)


def laplace_density(
    distance: Float[Tensor, "*batch"], beta: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """α Ψ(−f) with the CDF Ψ of the Laplace distribution of scale β, and α = 1 / β.

    VolSDF, eq. 2 and 3: 1 / β inside, half of it on the surface, exponential decay outside.
    """
    falling = 0.5 * (-distance.abs() / beta).exp()
    return torch.where(distance > 0, falling, 1 - falling) / beta


def opacity_error_bounds(
    distance: Float[Tensor, "rays edges"],
    t: Float[Tensor, "rays edges"],
    beta: Float[Tensor, "rays"],
) -> Float[Tensor, "rays bins"]:
    """Bounds on the error of the opacity up to any point in each bin (VolSDF, eq. 15).

    The error is that of the quadrature, which takes the density at a bin's first edge as that
    of the whole bin. The bound holds if f is a true distance.
    """
    beta, length = beta[:, None], t.diff(dim=1)
    nearest = least_distance(distance, t)
    errors = length.square() * (-nearest / beta).exp() / (4 * beta.square())
    depth = length * laplace_density(distance[:, :-1], beta)
    # Clamping keeps large bounds finite.
    return (-sum_in_front(depth)).exp() * torch.expm1(errors.cumsum(1).clamp_max(30.0))


def least_distance(
    distance: Float[Tensor, "rays edges"], t: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """Lower bound on the distance to the surface in each bin, if f is a true distance (VolSDF,
    sec. 3.3).

    The balls around both edges with radii |f| and |f'| contain no surface. If they do not cover
    the bin, the bound is 0. Otherwise it is the distance to the circle in which the balls
    intersect: the height of a triangle with sides |f|, |f'| and the bin's length; or the
    distance at the nearer edge if the height's foot is outside of the bin.
    """
    a, b = distance[:, :-1].abs(), distance[:, 1:].abs()
    length = t.diff(dim=1).clamp_min(1e-12)
    # Heron's formula; the cases with negative factors are overwritten below.
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
    """A β for which `bins` equal bins satisfy the tolerance (VolSDF, lemma 2, α = 1 / β)."""
    return length / math.sqrt(4 * bins * math.log1p(tolerance))

"""Volume rendering of bins along rays.

A ray has edges t; between two consecutive edges is a bin with one density and one color.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering

MAX_DEPTH = 800.0
"""Optical depth through which nothing passes, even in double precision."""


def sum_in_front(values: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Exclusive sums: of the bins in front of each, on the same ray.

    They are inclusive sums shifted by one bin. Subtracting each value from its inclusive sum
    would cancel all digits of the others next to a large value.
    """
    return pad(values[:, :-1].cumsum(1), (1, 0))


def depth_weights(depth: Float[Tensor, "rays bins"]) -> Float[Tensor, "rays bins"]:
    """Compositing weights of bins of these optical depths: T (1 − exp(−depth)) (NeRF, eq. 3),
    with transmittance T. Differentiable.
    """
    return (-sum_in_front(depth)).exp() * -torch.expm1(-depth)


def bin_weights(
    density: Float[Tensor, "rays bins"], edges: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """Compositing weights of the bins: T (1 − exp(−density × length)) with transmittance T.

    NeRF, eq. 3, with edges in scene units. Differentiable in both arguments.
    """
    return depth_weights(density * edges.diff(dim=1))


def packed_weights(
    density: Float[Tensor, "samples"],
    lengths: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> Float[Tensor, "samples"]:
    """`bin_weights` for packed bins, where ray r has the bins [offsets[r], offsets[r + 1])."""
    depth = (density * lengths).double()
    # Exclusive sum over the bins of all rays, minus the sum in front of the bin's own ray. The
    # bound keeps the digits of the rays that follow one with an opaque bin.
    total = pad(depth.clamp_max(MAX_DEPTH).cumsum(0), (1, 0))
    before = total[offsets[:-1]].repeat_interleave(offsets.diff())
    return ((before - total[:-1]).exp() * -torch.expm1(-depth)).to(density.dtype)


def render_bins(
    density: Float[Tensor, "rays bins"],
    color: Float[Tensor, "rays bins 3"],
    edges: Float[Tensor, "rays edges"],
) -> Rendering:
    """Composite the bins: color over black, opacity and mean distance of each ray."""
    out = composite_dense(density, color, edges[:, :-1].contiguous(), edges[:, 1:].contiguous())
    return Rendering(out.color, out.opacity, out.distance / out.opacity.clamp_min(1e-6))


def distortion(
    s: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays bins"]
) -> Float[Tensor, "rays"]:
    """Distortion loss of each ray (Mip-NeRF 360, eq. 15), in units of s.

    ∬ w(u) w(v) |u − v| du dv of the step function with these edges and masses: for weights that
    sum to 1, the mean distance between two points sampled from them.
    """
    middles, lengths = (s[:, 1:] + s[:, :-1]) / 2, s.diff(dim=1)
    # Σ_ij w_i w_j |m_i − m_j| in linear time by prefix sums, each pair once.
    mass, moment = sum_in_front(weights), sum_in_front(weights * middles)
    between = 2 * (weights * (middles * mass - moment)).sum(1)
    return between + (weights.square() * lengths).sum(1) / 3

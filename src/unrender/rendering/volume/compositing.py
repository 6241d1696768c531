"""Volume rendering of bins along rays.

A ray has edges t, and between each two of them a bin with one density and one colour.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering


def bin_weights(
    density: Float[Tensor, "rays bins"], edges: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """The share of the light that comes from each bin: T (1 − exp(−density × length)).

    NeRF, eq. 3, with edges in scene units. Differentiable in both.
    """
    depth = density * edges.diff(dim=1)
    in_front = depth.cumsum(1) - depth
    return (-in_front).exp() * -torch.expm1(-depth)


def packed_weights(
    density: Float[Tensor, "samples"],
    lengths: Float[Tensor, "samples"],
    offsets: Int[Tensor, "rays_plus_one"],
) -> Float[Tensor, "samples"]:
    """`bin_weights` of bins in one array, of which ray r owns offsets[r] to offsets[r + 1]."""
    depth = (density * lengths).double()
    # The sum in front of each bin, over all rays, less that in front of its own ray.
    total = pad(depth.cumsum(0), (1, 0))
    before = total[offsets[:-1]].repeat_interleave(offsets.diff())
    return ((before - total[:-1]).exp() * -torch.expm1(-depth)).to(density.dtype)


def render_bins(
    density: Float[Tensor, "rays bins"],
    color: Float[Tensor, "rays bins 3"],
    edges: Float[Tensor, "rays edges"],
) -> Rendering:
    """The rays' colours over black, with opacity and mean distance."""
    out = composite_dense(density, color, edges[:, :-1].contiguous(), edges[:, 1:].contiguous())
    return Rendering(out.color, out.opacity, out.distance / out.opacity.clamp_min(1e-6))


def distortion(
    s: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays bins"]
) -> Float[Tensor, "rays"]:
    """How spread the weights are along each ray (Mip-NeRF 360, eq. 15), in the unit of s.

    ∬ w(u) w(v) |u − v| du dv of the step function with these edges and masses; of weights that
    sum to 1 it is the mean distance between two places that light comes from.
    """
    middles, lengths = (s[:, 1:] + s[:, :-1]) / 2, s.diff(dim=1)
    # Σ_ij w_i w_j |m_i − m_j| in one pass: each pair once, the farther one first.
    mass = weights.cumsum(1) - weights
    moment = (weights * middles).cumsum(1) - weights * middles
    between = 2 * (weights * (middles * mass - moment)).sum(1)
    return between + (weights.square() * lengths).sum(1) / 3

"""Samples that contribute nothing to a pixel, which need no color."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.composite import composite
from unrender.kernels.march import Samples


@torch.no_grad()
def drop_light_bins(bins: Samples, density: Float[Tensor, "samples"], least: float) -> Samples:
    """The bins whose rendering weights are above `least`; `density` is per unit length."""
    out = composite(density, None, bins.starts, bins.ends, bins.offsets)
    kept = (out.weights > least).nonzero()[:, 0]
    # Number of kept bins in front of each ray's first.
    offsets = torch.searchsorted(kept, bins.offsets)
    return Samples(bins.starts[kept], bins.ends[kept], offsets)

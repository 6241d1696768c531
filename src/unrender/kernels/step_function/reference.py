"""Step functions in PyTorch."""

import torch
from jaxtyping import Float
from torch import Tensor


def sample(
    t: Float[Tensor, "rays edges"],
    w: Float[Tensor, "rays bins"],
    u: Float[Tensor, "rays samples"],
) -> Float[Tensor, "rays samples"]:
    cdf = w.cumsum(-1).contiguous()
    total = cdf[:, -1:].contiguous()
    target = (u * total).contiguous()
    # The first bin that ends after the target, but at most the last one with weight.
    last = torch.searchsorted(cdf, total)
    bins = torch.searchsorted(cdf, target, right=True).minimum(last)
    before = torch.nn.functional.pad(cdf, (1, 0)).gather(1, bins)
    fraction = ((target - before) / w.gather(1, bins)).clamp(0, 1)
    inside = torch.lerp(t.gather(1, bins), t.gather(1, bins + 1), fraction)
    return torch.where(total > 0, inside, torch.lerp(t[:, :1], t[:, -1:], u))


def outer(
    t0: Float[Tensor, "rays edges"],
    w0: Float[Tensor, "rays bins"],
    t1: Float[Tensor, "rays other_edges"],
) -> Float[Tensor, "rays other_bins"]:
    begins = t0[:, None, :-1] < t1[:, 1:, None]
    ends = t0[:, None, 1:] > t1[:, :-1, None]
    return torch.einsum("rib,rb->ri", (begins & ends).to(w0.dtype), w0)

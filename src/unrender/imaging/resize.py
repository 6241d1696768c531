"""Change the size of images."""

import torch
from jaxtyping import Float
from torch import Tensor


def area_average(
    images: Float[Tensor, "*batch height width channels"], width: int, height: int
) -> Float[Tensor, "*batch new_height new_width channels"]:
    """Take the mean of the image over each new pixel's square: an exact box filter.

    A pixel of the image counts by the share of the new pixel that it covers, so sizes need not
    divide each other and the image's mean stays. RGBA must be premultiplied.
    """
    assert width > 0, f"the width must be positive, not {width}"
    assert height > 0, f"the height must be positive, not {height}"
    old_height, old_width = images.shape[-3:-1]
    if old_height != height:
        rows = overlaps(old_height, height).to(images)
        images = torch.einsum("...hwc,vh->...vwc", images, rows)
    if old_width != width:
        columns = overlaps(old_width, width).to(images)
        images = torch.einsum("...hwc,uw->...huc", images, columns)
    return images


def overlaps(old: int, new: int) -> Float[Tensor, "{new} {old}"]:
    """Share of each of `new` equal parts of a line that each of its `old` equal parts covers.

    Lengths are whole numbers in units of 1 / (old · new), so the shares are exact to the last
    bit, and every row sums to one.
    """
    old_edges = torch.arange(old + 1) * new
    new_edges = torch.arange(new + 1) * old
    end = torch.minimum(old_edges[None, 1:], new_edges[1:, None])
    start = torch.maximum(old_edges[None, :-1], new_edges[:-1, None])
    return (end - start).clamp_min(0) / torch.tensor(old, dtype=torch.float64)

"""Resizing of images."""

import torch
from jaxtyping import Float
from torch import Tensor


def area_average(
    images: Float[Tensor, "*batch height width channels"], width: int, height: int
) -> Float[Tensor, "*batch new_height new_width channels"]:
    """Resize by averaging over the area of each new pixel: an exact box filter.

    Old pixels are weighted by their overlap with the new pixel, so sizes need not be multiples
    of each other, and the mean is preserved. RGBA must be premultiplied.
    """
    assert width > 0, f"the width must be positive, not {width}"
    assert height > 0, f"the height must be positive, not {height}"
    old_height, old_width = images.shape[-3:-1]
    if old_height != height:
        rows = overlap_fractions(old_height, height).to(images)
        images = torch.einsum("...hwc,vh->...vwc", images, rows)
    if old_width != width:
        columns = overlap_fractions(old_width, width).to(images)
        images = torch.einsum("...hwc,uw->...huc", images, columns)
    return images


def area_average_known(
    images: Float[Tensor, "*batch height width channels"], width: int, height: int
) -> Float[Tensor, "*batch new_height new_width channels"]:
    """`area_average` of images with unknown pixels (NaN), which make new ones unknown."""
    if images.shape[-3:-1] == (height, width):
        return images
    unknown = area_average(images.isnan().to(images), width, height) > 0
    return area_average(images.nan_to_num(0.0), width, height).masked_fill(unknown, torch.nan)


def overlap_fractions(old: int, new: int) -> Float[Tensor, "{new} {old}"]:
    """Fraction of each of `new` equal intervals that is covered by each of `old` equal ones.

    Lengths are integers in units of 1 / (old · new), so the fractions are correctly rounded,
    and every row sums to one.
    """
    old_edges = torch.arange(old + 1) * new
    new_edges = torch.arange(new + 1) * old
    end = torch.minimum(old_edges[None, 1:], new_edges[1:, None])
    start = torch.maximum(old_edges[None, :-1], new_edges[:-1, None])
    return (end - start).clamp_min(0) / torch.tensor(old, dtype=torch.float64)

"""Coordinates of pixels in an image, of which (0, 0) is the upper left corner."""

import torch
from jaxtyping import Float
from torch import Tensor


def pixel_grid(
    width: int, height: int, device: torch.device | None = None
) -> Float[Tensor, "height width 2"]:
    """Coordinates (x, y) of all pixel centers."""
    rows, columns = (torch.arange(size, device=device) + 0.5 for size in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1)

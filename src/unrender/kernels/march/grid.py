"""What marching knows about a scene: a box of cells, and which of them hold anything."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLOCK = 8
"""Cells a side of a block that is skipped at once when it is empty."""


@dataclass(frozen=True)
class MarchGrid:
    """A cube [−half_width, half_width]³ of cells; x is the slowest index of an array."""

    half_width: float
    occupied: Bool[Tensor, "cells cells cells"]
    blocks: Bool[Tensor, "blocks blocks blocks"]
    """Whether any of a block's cells is occupied."""
    density: Float[Tensor, "cells cells cells"]
    """An estimate, per unit length: used only to tell when a ray has gone dark."""
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Least and greatest corner of the box around all occupied blocks, in scene units."""

    @classmethod
    def from_cells(
        cls,
        half_width: float,
        occupied: Bool[Tensor, "cells cells cells"],
        density: Float[Tensor, "cells cells cells"],
    ) -> "MarchGrid":
        cells = len(occupied)
        assert cells % BLOCK == 0, f"cells a side must be a multiple of {BLOCK}, not {cells}"
        split = occupied.view(cells // BLOCK, BLOCK, cells // BLOCK, BLOCK, -1, BLOCK)
        blocks = split.any(5).any(3).any(1)
        return cls(half_width, occupied, blocks, density, _bounds(blocks, half_width))


def _bounds(
    blocks: Bool[Tensor, "blocks blocks blocks"], half_width: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    where = blocks.nonzero().cpu()
    if len(where) == 0:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    width = 2 * half_width / len(blocks)
    a, b, c = (where.amin(0) * width - half_width).tolist()
    d, e, f = ((where.amax(0) + 1) * width - half_width).tolist()
    return (a, b, c), (d, e, f)


@dataclass(frozen=True)
class Samples:
    """Bins along rays, all rays in one array: "packed"."""

    starts: Float[Tensor, "samples"]
    ends: Float[Tensor, "samples"]
    offsets: "torch.Tensor"
    """[rays + 1]: ray r owns bins offsets[r] to offsets[r + 1], ordered by distance."""

    def __len__(self) -> int:
        return len(self.starts)

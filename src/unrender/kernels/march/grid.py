"""What marching knows about a scene: a box of cells, and which of them hold anything."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

BLOCK = 8
"""Cells a side of a block that is skipped at once when it is empty."""
LEVELS = 254
"""Optical depths of a step that are told apart."""
NEVER = 1e30
"""The knee of bins that do not grow."""


@dataclass(frozen=True)
class MarchGrid:
    """A cube [−half_width, half_width]³ of cells; x is the slowest index of an array."""

    half_width: float
    depth: UInt8[Tensor, "cells cells cells"]
    """0 in empty cells, and in others 1 + the optical depth of one step there, in units of
    max_step_depth / LEVELS: one byte, so that the grid stays in cache."""
    blocks: Bool[Tensor, "blocks blocks blocks"]
    """Whether any of a block's cells is occupied."""
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Least and greatest corner of the box around all occupied blocks, in scene units."""
    step: float
    """Length of the bins along a ray."""
    max_step_depth: float
    """What a bin counts at most: one rough estimate must not hide what lies behind it."""
    growth: float = 0.0
    """Bins farther away than step / growth are as long as growth × distance."""
    nearest: float = 0.0
    """Distance before which no ray begins."""

    @property
    def knee(self) -> float:
        """The distance from which on bins grow."""
        return self.step / self.growth if self.growth > 0 else NEVER

    @classmethod
    def from_cells(
        cls,
        half_width: float,
        occupied: Bool[Tensor, "cells cells cells"],
        density: Float[Tensor, "cells cells cells"],
        step: float,
        max_step_depth: float = 0.7,
    ) -> "MarchGrid":
        """`density`, per unit length, tells only where a ray has gone dark."""
        cells = len(occupied)
        assert cells % BLOCK == 0, f"cells a side must be a multiple of {BLOCK}, not {cells}"
        scaled = (density * (step * LEVELS / max_step_depth)).clamp_max_(LEVELS)
        depth = scaled.add_(1.5).to(torch.uint8) * occupied
        split = occupied.view(cells // BLOCK, BLOCK, cells // BLOCK, BLOCK, -1, BLOCK)
        blocks = split.any(5).any(3).any(1)
        bounds = _bounds(blocks, half_width)
        return cls(half_width, depth, blocks, bounds, step, max_step_depth)

    def to(self, device: torch.device) -> "MarchGrid":
        return dataclasses.replace(
            self, depth=self.depth.to(device), blocks=self.blocks.to(device)
        )


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


def even(t: Float[Tensor, "*batch"], knee: float) -> Float[Tensor, "*batch"]:
    """The coordinate in which all bins have one length: t, and past the knee its logarithm."""
    if knee == NEVER:
        return t
    return torch.where(t > knee, knee * (1 + (t / knee).clamp_min(1).log()), t)


def distance(s: Float[Tensor, "*batch"], knee: float) -> Float[Tensor, "*batch"]:
    """What `even` was made of."""
    if knee == NEVER:
        return s
    return torch.where(s > knee, knee * (s / knee - 1).clamp_min(0).exp(), s)


@dataclass(frozen=True)
class Samples:
    """Bins along rays, all rays in one array: "packed"."""

    starts: Float[Tensor, "samples"]
    ends: Float[Tensor, "samples"]
    offsets: "torch.Tensor"
    """[rays + 1]: ray r owns bins offsets[r] to offsets[r + 1], ordered by distance."""

    def __len__(self) -> int:
        return len(self.starts)

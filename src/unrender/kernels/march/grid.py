"""The occupancy grid that rays march through, and the bins that result."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

BLOCK = 8
"""Cells per side of a block; empty blocks are skipped as a whole."""
LEVELS = 254
"""Number of quantization levels of a step's optical depth."""
NO_GROWTH = 1e30
"""Value of `growth_start` if bins do not grow."""


@dataclass(frozen=True)
class MarchGrid:
    """Occupancy of a cube [−half_width, half_width]³ of cells, indexed [x, y, z]."""

    half_width: float
    optical_depth: UInt8[Tensor, "cells cells cells"]
    """0 in empty cells; in occupied ones 1 + the optical depth of one step, in units of
    max_step_optical_depth / LEVELS. One byte, so that the grid stays in cache."""
    blocks: Bool[Tensor, "blocks blocks blocks"]
    """Whether any cell of the block is occupied."""
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Minimum and maximum corner of the bounding box of all occupied blocks, in scene units."""
    step: float
    """Length of the bins along a ray, in scene units."""
    max_step_optical_depth: float
    """Upper bound on a bin's optical depth, so that no single rough estimate ends a ray."""
    cone_angle: float = 0.0
    """Bins beyond the distance step / cone_angle have the length cone_angle × distance."""
    near: float = 0.0
    """Minimum distance at which rays start."""

    @property
    def growth_start(self) -> float:
        """Distance beyond which bins grow."""
        return self.step / self.cone_angle if self.cone_angle > 0 else NO_GROWTH

    @classmethod
    def from_cells(
        cls,
        half_width: float,
        occupied: Bool[Tensor, "cells cells cells"],
        density: Float[Tensor, "cells cells cells"],
        step: float,
        max_step_optical_depth: float = 0.7,
    ) -> "MarchGrid":
        """Build the grid; `density`, per unit length, is used only to end rays early."""
        cells = len(occupied)
        assert cells % BLOCK == 0, f"cells per side must be a multiple of {BLOCK}, not {cells}"
        scaled = (density * (step * LEVELS / max_step_optical_depth)).clamp_max_(LEVELS)
        optical_depth = scaled.add_(1.5).to(torch.uint8) * occupied
        split = occupied.view(cells // BLOCK, BLOCK, cells // BLOCK, BLOCK, -1, BLOCK)
        blocks = split.any(5).any(3).any(1)
        bounds = _bounds(blocks, half_width)
        return cls(half_width, optical_depth, blocks, bounds, step, max_step_optical_depth)

    def to(self, device: torch.device) -> "MarchGrid":
        return dataclasses.replace(
            self, optical_depth=self.optical_depth.to(device), blocks=self.blocks.to(device)
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


def to_stepping_space(
    t: Float[Tensor, "*batch"], growth_start: float
) -> Float[Tensor, "*batch"]:
    """The coordinate s in which all bins have the same length, for distances t."""
    if growth_start == NO_GROWTH:
        return t
    return torch.where(
        t > growth_start, growth_start * (1 + (t / growth_start).clamp_min(1).log()), t
    )


def from_stepping_space(
    s: Float[Tensor, "*batch"], growth_start: float
) -> Float[Tensor, "*batch"]:
    """Inverse of `to_stepping_space`."""
    if growth_start == NO_GROWTH:
        return s
    return torch.where(
        s > growth_start, growth_start * (s / growth_start - 1).clamp_min(0).exp(), s
    )


@dataclass(frozen=True)
class Samples:
    """Bins along rays, packed: the bins of all rays in one array."""

    starts: Float[Tensor, "samples"]
    """Distance at which each bin starts."""
    ends: Float[Tensor, "samples"]
    """Distance at which each bin ends."""
    offsets: "torch.Tensor"
    """[rays + 1]: ray r has the bins offsets[r] to offsets[r + 1], sorted by distance."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def middles(self) -> Float[Tensor, "samples"]:
        """Distance of each bin's midpoint."""
        return (self.starts + self.ends) / 2

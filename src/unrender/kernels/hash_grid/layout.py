"""Where each level of a hash grid lies in its table."""

import math
from dataclasses import dataclass
from functools import cached_property

PRIMES = (1, 2654435761, 805459861)
"""Factors of the spatial hash (eq. 4)."""


@dataclass(frozen=True)
class HashGridLayout:
    """Sizes of a hash grid; resolutions grow geometrically (eqs. 2 and 3)."""

    num_levels: int = 8
    log2_table_size: int = 17
    """Entries a level at most, as a power of two."""
    coarsest: int = 16
    """Cells a side of the first level."""
    finest: int = 400
    """Cells a side of the last level."""
    features: int = 2
    """Numbers stored in an entry."""
    dimensions: int = 3
    """Of the points: 2 or 3."""

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise ValueError(f"a hash grid has 2 or 3 dimensions, not {self.dimensions}")

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        steps = max(self.num_levels - 1, 1)
        growth = (math.log(self.finest) - math.log(self.coarsest)) / steps
        return tuple(
            int(self.coarsest * math.exp(growth * level) + 1e-6)
            for level in range(self.num_levels)
        )

    @cached_property
    def dense(self) -> tuple[bool, ...]:
        """Whether all corners of the level have entries of their own."""
        limit = 1 << self.log2_table_size
        return tuple((res + 1) ** self.dimensions <= limit for res in self.resolutions)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(
            (res + 1) ** self.dimensions if dense else 1 << self.log2_table_size
            for res, dense in zip(self.resolutions, self.dense, strict=True)
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level; the last number is the end of the table."""
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return tuple(ends)

    @property
    def num_entries(self) -> int:
        return self.offsets[-1]

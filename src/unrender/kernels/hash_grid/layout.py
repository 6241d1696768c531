"""Sizes and offsets of the levels of a hash grid in its table."""

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
    """Binary logarithm of the maximum number of entries per level."""
    min_resolution: int = 16
    """Cells per side of the first level."""
    max_resolution: int = 400
    """Cells per side of the last level."""
    features_per_level: int = 2
    """Features per entry."""
    dimensions: int = 3
    """Dimensions of the points: 2 or 3."""

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise ValueError(f"a hash grid has 2 or 3 dimensions, not {self.dimensions}")

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        steps = max(self.num_levels - 1, 1)
        growth = (math.log(self.max_resolution) - math.log(self.min_resolution)) / steps
        return tuple(
            int(self.min_resolution * math.exp(growth * level) + 1e-6)
            for level in range(self.num_levels)
        )

    @cached_property
    def dense(self) -> tuple[bool, ...]:
        """Whether each corner of the level has its own entry, without hashing."""
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
        """First entry of each level, followed by the end of the table."""
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return tuple(ends)

    @property
    def num_entries(self) -> int:
        return self.offsets[-1]

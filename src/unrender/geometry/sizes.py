"""Widths and heights of images: one size for all, or one for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError

LISTED = 3
"""Sizes that are written out; of more, the smallest and the largest."""


@dataclass(frozen=True)
class ImageSizes:
    """Image sizes in pixels.

    >>> sizes = ImageSizes.of([(160, 120), (120, 160)])
    >>> sizes[1], str(sizes), sizes.mixed
    ((120, 160), '160×120 and 120×160', True)
    """

    rows: Int[Tensor, "rows 2"]
    """Width and height: one row if all images share it, else a row for each. On the CPU."""

    def __post_init__(self) -> None:
        assert len(self.rows) > 0, "images have a size, even if there are none"
        if len(self.rows) > 1 and bool((self.rows == self.rows[:1]).all()):
            object.__setattr__(self, "rows", self.rows[:1])

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]]) -> "ImageSizes":
        """From (width, height) of each image, or of all."""
        found = cls(torch.tensor(list(sizes)))
        if len(sizes) == 1:
            vars(found)["one"] = tuple(sizes[0])
        return found

    @property
    def mixed(self) -> bool:
        """Whether there are several sizes."""
        return len(self.rows) > 1

    @cached_property
    def one(self) -> tuple[int, int]:
        """Width and height of all images. InputError if there are several sizes."""
        if self.mixed:
            raise InputError(
                f"images of several sizes ({self}), where one is needed: take them one by one, "
                "or resize or crop them to one size"
            )
        return self[0]

    @property
    def areas(self) -> Int[Tensor, "rows"]:
        """Numbers of pixels."""
        return self.rows.prod(1)

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Width and height of one image."""
        width, height = self.rows[index if self.mixed else 0].tolist()
        return width, height

    def each(self, count: int) -> Int[Tensor, "{count} 2"]:
        """A row for each of `count` images."""
        return self.rows.expand(count, 2)

    def select(
        self, index: Int[Tensor, "chosen"] | Bool[Tensor, "rows"] | slice
    ) -> "ImageSizes":
        """The sizes of some of the images."""
        if not self.mixed:
            return self
        chosen = self.rows[index if isinstance(index, slice) else index.cpu()]
        return ImageSizes(chosen if len(chosen) else self.rows[:1])

    def with_longer_side(self, side: int) -> "ImageSizes":
        """The sizes with `side` pixels on the longer side, and unchanged aspect ratios."""
        return self.scaled(side / self.rows.amax(1, keepdim=True).double())

    def within(self, side: int) -> "ImageSizes":
        """The sizes with at most `side` pixels on the longer side; smaller ones stay."""
        return self.scaled((side / self.rows.amax(1, keepdim=True).double()).clamp_max(1))

    def scaled(self, factor: Float[Tensor, "rows 1"] | float | int) -> "ImageSizes":
        """The sizes times a factor for each, or for all; at least one pixel."""
        return ImageSizes((self.rows * factor).round().long().clamp_min(1))

    def __str__(self) -> str:
        found = list(dict.fromkeys(f"{width}×{height}" for width, height in self.rows.tolist()))
        if len(found) <= LISTED:
            return " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
        order = self.areas.argsort()
        first, last = self[int(order[0])], self[int(order[-1])]
        return f"{len(found)} sizes, {first[0]}×{first[1]} to {last[0]}×{last[1]}"


def joined(parts: Sequence[tuple[ImageSizes, int]]) -> ImageSizes:
    """The sizes of images one after the other, given as sizes and numbers of images."""
    rows = [sizes.each(count) for sizes, count in parts if count]
    return ImageSizes(torch.cat(rows)) if rows else parts[0][0]

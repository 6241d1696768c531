"""What novel views are made from: photographs of an object, or the views of a scene."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.pose import as_images
from unrender.data.capture import is_cut_out
from unrender.data.load import LoadOptions
from unrender.data.object_ball import object_ball
from unrender.data.object_photograph import (
    ObjectPhotograph,
    cut_out,
    object_views,
    read_object,
)
from unrender.data.squares import squares
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.paths import spread_out
from unrender.notes import note
from unrender.training.data_kinds.few_views import is_photograph as is_image
from unrender.training.data_kinds.posed_images import POSED_IMAGES

Angles = float | int | Sequence[float | int]
"""Degrees: of one photograph, or one for each."""
Photographs = str | Path | Sequence[str | Path] | Float[Tensor, "*_ _ _ _"]
"""Image files, or a tensor [height, width, 3 or 4] or several of them."""


@dataclass(frozen=True)
class ViewSource:
    """Posed views of one object or scene."""

    name: str
    known: Views
    """All views whose cameras paths follow, with a ball where the object is."""
    held_out: Views
    """Views that are to be made again, to be compared; there may be none."""
    of_photographs: bool
    """Whether the cameras were assumed."""

    @property
    def of_object(self) -> bool:
        """Whether the views show an object from outside, not a place that cameras are in."""
        return self.known.ball is not None or is_cut_out(self.known)

    def inputs(self, size: int, count: int | None = None, seed: int = 0) -> Views:
        """The views that models are given: `size` pixels a side, RGBA, with a ball.

        `count` of them, evenly spread by farthest point sampling from a random first one; those
        of a smaller count are among those of a larger one. InputError if there are fewer.
        """
        known = self.known
        if count is not None:
            if not 1 <= count <= len(known):
                raise InputError(
                    f"--count {count}: {self.name} has {len(known)} views to make others from: "
                    f"give 1 to {len(known)}"
                )
            generator = torch.Generator().manual_seed(seed)
            first = int(torch.randint(len(known), (), generator=generator))
            known = known.select(torch.tensor(spread_out(known.cameras, count, first)))
        # The center is that of all, also where few were chosen.
        return replace(squares(known, size).with_alpha(), ball=object_ball(self.known))

    def truth(self, size: int) -> Views:
        """The held-out views, as `inputs`. InputError if there are none."""
        if not len(self.held_out):
            raise InputError(
                f"{self.name}: has no held-out views to make again: give --cameras turntable"
            )
        return squares(self.held_out, size).with_alpha()


def of_photographs(
    images: Photographs,
    masks: Sequence[str | Path] = (),
    azimuth: Angles = (),
    elevation: Angles = (),
    fov: float | None = None,
) -> ViewSource:
    """Photographs of an object, cut out, framed and placed. InputError.

    See `unrender.data.object_photograph.object_views`.
    """
    if isinstance(images, Tensor):
        if masks:
            raise InputError("masks: are for image files: multiply the tensor by its mask")
        pictures = [
            ObjectPhotograph(f"image {k}", cut_out(picture, f"image {k}"))
            for k, picture in enumerate(as_images(images))
        ]
    else:
        files = [images] if isinstance(images, str | Path) else list(images)
        if masks and len(masks) != len(files):
            raise InputError(
                f"{len(masks)} masks for {len(files)} photographs: give one for each"
            )
        cuts = [Path(mask) for mask in masks] or [None] * len(files)
        pictures = [read_object(Path(f), cut) for f, cut in zip(files, cuts, strict=True)]
    views = object_views(pictures, _degrees(azimuth), _degrees(elevation), fov)
    name = pictures[0].name if len(pictures) == 1 else f"{len(pictures)} photographs"
    return ViewSource(name, views, views[:0], of_photographs=True)


def of_scene(source: object, options: LoadOptions) -> ViewSource:
    """The training views of a scene, and its held-out views. InputError."""
    data = POSED_IMAGES.read(source, options)
    known = data.train
    if not len(known):
        raise InputError(f"{data.name}: has no views to make others from: add some")
    sizes = known.cameras.sizes
    if bool((sizes.rows[:, 0] != sizes.rows[:, 1]).any()):
        note(f"{data.name}: images of {sizes} are cropped to the squares in their middle")
    if not is_cut_out(known):
        note(
            f"{data.name}: the views have a background, and the models of the package know "
            "objects that are cut out: --masks FOLDER cuts them out"
        )
    return ViewSource(data.name, known, data.test, of_photographs=False)


def is_photograph(source: object) -> TypeGuard[Photographs]:
    """Whether this is images without cameras, rather than a scene."""
    if isinstance(source, Tensor):
        return True
    if isinstance(source, str | Path):
        return is_image(Path(source))
    return isinstance(source, Sequence)


def _degrees(angles: Angles) -> tuple[float | int, ...]:
    return (angles,) if isinstance(angles, float | int) else tuple(angles)

"""Masks: which pixels of an image show the object."""

from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from unrender.data.photographs import list_photographs, opaque, read_photographs
from unrender.data.views import Views
from unrender.errors import InputError


def cut_out(views: Views, folder: Path) -> Views:
    """Apply the masks of a folder: images with the views' names, with any file ending.

    A mask's brightness becomes the alpha of the pixel. Raises InputError if a mask is missing,
    empty, or of another size than its image.
    """
    if not views.names:
        raise InputError(
            f"{folder}: the views have no names to match with masks: leave out --masks"
        )
    known = {path.stem: path for path in list_photographs(folder)}
    paths: list[Path] = []
    for name in views.names:
        stem = Path(name).stem
        if stem not in known:
            raise InputError(f"{folder}: has no mask for {name}: add an image named {stem}")
        paths.append(known[stem])
    return replace(views, images=masked(views.images, folder, paths), background=None)


def masked(
    images: Float[Tensor, "views height width channels"], folder: Path, paths: list[Path]
) -> Float[Tensor, "views height width 4"]:
    """Premultiplied RGBA with the masks of `paths` as alpha. Raises InputError."""
    cut = read_photographs(str(folder), paths)[..., :3].mean(3)
    if cut.shape != images.shape[:3]:
        raise InputError(
            f"{folder}: {len(cut)} masks of {cut.shape[2]}x{cut.shape[1]} for {len(images)} "
            f"images of {images.shape[2]}x{images.shape[1]}: give one of equal size per image"
        )
    for k in (cut.amax((1, 2)) == 0).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{paths[k]}: the mask is empty: draw the object in white, or remove the image"
        )
    return opaque(images) * cut[..., None]

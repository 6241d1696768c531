"""Masks: which pixels of an image show the object."""

import dataclasses
from pathlib import Path

import torch

from unrender.data.images import Image, ImageStore, as_floats
from unrender.data.photographs import list_photographs
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.imaging.files import read_pixels


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
    return dataclasses.replace(views, store=masked(views.store, paths), background=None)


def masked(images: ImageStore, paths: list[Path]) -> ImageStore:
    """RGBA images with the masks of `paths` as alpha. Raises InputError."""

    def cut(index: int, image: Image) -> Image:
        path = paths[index]
        mask = as_floats(read_pixels(path))[..., :3].mean(2)
        if mask.shape != image.shape[:2]:
            (wide, tall), (width, height) = mask.shape[::-1], image.shape[1::-1]
            raise InputError(
                f"{path}: the mask is {wide}x{tall} and its image {width}x{height}: give one "
                "of equal size per image"
            )
        if not bool(mask.any()):
            raise InputError(
                f"{path}: the mask is empty: draw the object in white, or remove the image"
            )
        if image.shape[-1] == 3:
            image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
        return image * mask[..., None]

    return images.mapped(cut, channels=4)

"""Masks: which pixels of an image show the object."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.images import Image
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.imaging.color import premultiply
from unrender.imaging.files import (
    ENDINGS,
    ImageHeader,
    image_header,
    is_image_file,
    read_pixels,
    to_bytes,
)

Mask = Float[Tensor, "height width"]
"""1 where the object is and 0 elsewhere; between at its border."""


def find_masks(names: Sequence[str], folder: Path) -> list[Path]:
    """The mask of each image, by its name relative to the folder of the data.

    Tried are, in the folder and in subfolders that mirror those of the images, the image's own
    name, that name followed by an ending (COLMAP: `a.jpg.png`), and its stem with any ending;
    then, in any subfolder, the only file with that stem. Raises InputError if there is no
    mask for an image, or if two images would have the same.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of the masks")
    files = {
        path.relative_to(folder).as_posix().lower(): path
        for path in sorted(folder.rglob("*"))
        if is_image_file(path) and path.is_file()
    }
    if not files:
        raise InputError(f"{folder}: contains no images ({', '.join(ENDINGS)}): check the path")
    places = [_below_common(name, names) for name in names]
    found: list[Path] = []
    owners: dict[Path, str] = {}
    for name, place in zip(names, places, strict=True):
        mask = _find(PurePosixPath(name.lower()), PurePosixPath(place.lower()), files)
        if mask is None:
            raise InputError(
                f"{folder}: has no mask for {name}: add {place}.png or an image named "
                f"{PurePosixPath(place).with_suffix('')}"
            )
        other = owners.setdefault(mask, name)
        if other != name:
            raise InputError(
                f"{mask}: would be the mask of {other} and of {name}: put masks in subfolders "
                "like those of the images"
            )
        found.append(mask)
    return found


def _below_common(name: str, names: Sequence[str]) -> str:
    """A name without the folders that all images lie in."""
    parts = [PurePosixPath(each).parts[:-1] for each in names]
    shared = 0
    while all(len(each) > shared and each[shared] == parts[0][shared] for each in parts):
        shared += 1
    return PurePosixPath(*PurePosixPath(name).parts[shared:]).as_posix()


def _find(name: PurePosixPath, place: PurePosixPath, files: dict[str, Path]) -> Path | None:
    # With all its folders, with those that tell images apart, and then alone.
    tails = [*(PurePosixPath(*name.parts[k:]) for k in range(len(name.parts)))]
    for tail in tails:
        if len(tail.parts) < len(place.parts):
            break
        for key in (
            str(tail),
            *(f"{tail}{ending}" for ending in ENDINGS),
            *(f"{tail.with_suffix('')}{ending}" for ending in ENDINGS),
        ):
            if key in files:
                return files[key]
    stems = {place.name, place.stem}
    same = [key for key in files if PurePosixPath(key).stem in stems]
    if len(same) == 1 and _compatible(PurePosixPath(same[0]).parent, place.parent):
        return files[same[0]]
    return None


def _compatible(folder: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether one of two folders ends with the other, so that they may mean the same."""
    a, b = folder.parts, other.parts
    common = min(len(a), len(b))
    return common == 0 or a[-common:] == b[-common:]


def read_mask(path: Path, header: ImageHeader, orientation: int) -> Mask:
    """The mask of an image, turned as the image is.

    Its brightness, and where it has only two values, 0 and another, that is 1. Raises
    InputError if it is empty, or of another size than its image.
    """
    own = image_header(path)
    wanted = header.size if orientation < 5 else header.size[::-1]
    if own.size == wanted:
        turn = 1
    elif orientation > 1 and own.size == header.size:
        turn = orientation  # It was drawn on the pixels as they are stored.
    elif own.upright == wanted:
        turn = own.orientation
    else:
        raise InputError(
            f"{path}: the mask is {own.width}x{own.height} and its image "
            f"{wanted[0]}x{wanted[1]}: give one of equal size per image"
        )
    return _as_mask(path, read_pixels(path, turn))


def _as_mask(path: Path, pixels: Tensor) -> Mask:
    values = pixels.float() / (255 if pixels.dtype == torch.uint8 else 1)
    if values.shape[2] == 4:
        values = premultiply(values)
    mask = values[..., :3].mean(2)
    most = mask.amax()
    if float(most) == 0:
        raise InputError(
            f"{path}: the mask is empty: draw the object in white, or remove the image"
        )
    # 0 and 1, 0 and 255, or the two colors of a palette.
    if bool(((mask == 0) | (mask == most)).all()):
        return (mask > 0).float()
    return mask


def with_mask(image: Tensor, mask: Mask) -> Tensor:
    """An image, floats or 8 bits with straight alpha, with its alpha times the mask."""
    if image.dtype != torch.uint8:
        alpha = torch.ones_like(image[..., :1])
        return (image if image.shape[2] == 4 else torch.cat([image, alpha], 2)) * mask[
            ..., None
        ]
    before = image[..., 3].float() / 255 if image.shape[2] == 4 else 1.0
    return torch.cat([image[..., :3], to_bytes(before * mask)[..., None]], dim=2)


def cut_out(views: Views, folder: Path) -> Views:
    """Apply the masks of a folder to views that do not come from image files. InputError."""
    if not views.names:
        raise InputError(
            f"{folder}: the views have no names to match with masks: leave out --masks"
        )
    paths = find_masks(views.names, folder)

    def cut(index: int, image: Image) -> Image:
        height, width, channels = image.shape
        mask = read_mask(paths[index], ImageHeader(width, height, channels), 1)
        if channels == 3:
            image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
        return image * mask[..., None]

    store = views.store.mapped(cut, channels=4)
    return dataclasses.replace(views, store=store, background=None)

"""Masks: which pixels of a photograph show the scene."""

from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from unrender.data.photographs import list_photographs, opaque, read_photographs
from unrender.data.views import Views
from unrender.errors import InputError


def cut_out(views: Views, folder: Path) -> Views:
    """The views with what their masks leave: an image of the same name, whatever its ending.

    A mask's brightness is the alpha of its pixel. InputError where a mask is missing, empty, or
    of another size.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder of masks: check --masks")
    if not views.names:
        raise InputError(f"{folder}: these views have no names that masks could have too")
    known = {path.stem: path for path in list_photographs(folder)}
    paths: list[Path] = []
    for name in views.names:
        stem = Path(name).stem
        if stem not in known:
            raise InputError(f"{folder}: has no mask of {name}: add one named {stem}")
        paths.append(known[stem])
    return replace(views, images=masked(views.images, folder, paths), background=None)


def masked(
    images: Float[Tensor, "views height width channels"], folder: Path, paths: list[Path]
) -> Float[Tensor, "views height width 4"]:
    """Premultiplied RGBA by the masks of these files. InputError."""
    cut = read_photographs(str(folder), paths)[..., :3].mean(3)
    if cut.shape != images.shape[:3]:
        raise InputError(
            f"{folder}: {len(cut)} masks of {cut.shape[2]}x{cut.shape[1]} for {len(images)} "
            f"images of {images.shape[2]}x{images.shape[1]}: they must be as many and as large"
        )
    for k in (cut.amax((1, 2)) == 0).nonzero()[:1, 0].tolist():
        raise InputError(f"{paths[k]}: the mask is empty: draw it")
    return opaque(images) * cut[..., None]

"""Reading the images of a set of views, all of one size."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.validate import check_memory
from unrender.errors import InputError
from unrender.imaging.color import premultiply
from unrender.imaging.files import image_header, read_image

READING_THREADS = 4
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


Straighten = Callable[[int, Tensor], Tensor]
"""What is done to an image as it is read, by its number: it keeps its size."""


def read_photographs(
    source: str, paths: list[Path]
) -> Float[Tensor, "images height width channels"]:
    """RGB, or premultiplied RGBA, in [0, 1]; `source` names the set in messages.

    InputError where sizes differ, where only some have alpha, or where they do not fit.
    """
    sizes = _sizes(paths)
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"{path}: is {size[0]}x{size[1]} but {paths[0].name} is "
                f"{sizes[0][0]}x{sizes[0][1]}; all images of a scene need one size"
            )
    return _read(source, paths, sizes[0], lambda _index, image: image)


def read_turned_photographs(
    source: str, paths: list[Path], straighten: Straighten
) -> tuple[Float[Tensor, "images height width channels"], list[bool]]:
    """The same of photographs upright and across, of which the fewer are turned clockwise.

    Also which were turned: geometry/conventions.py turns their cameras.
    """
    sizes = _sizes(paths)
    (size, _), *_ = Counter(sizes).most_common()
    turned = [each != size for each in sizes]
    for path, each in zip(paths, sizes, strict=True):
        if each not in (size, size[::-1]):
            raise InputError(
                f"{path}: is {each[0]}x{each[1]} but most are {size[0]}x{size[1]}; all images "
                "of a scene need one size, upright or across"
            )

    def prepare(index: int, image: Tensor) -> Tensor:
        straight = straighten(index, image)
        return straight.rot90(-1, (0, 1)) if turned[index] else straight

    return _read(source, paths, size, prepare), turned


def _sizes(paths: list[Path]) -> list[tuple[int, int]]:
    """Widths and heights. InputError where only some images have alpha."""
    headers = [image_header(path) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        if header[2] != headers[0][2]:
            raise InputError(
                f"{path}: has {header[2]} channels but {paths[0].name} has {headers[0][2]}; "
                "give all images alpha or none"
            )
    return [header[:2] for header in headers]


def _read(
    source: str, paths: list[Path], size: tuple[int, int], prepare: Straighten
) -> Float[Tensor, "images height width channels"]:
    channels = image_header(paths[0])[2]
    check_memory(source, len(paths), *size, channels)
    images = torch.empty(len(paths), size[1], size[0], channels)

    def read(index: int) -> None:
        image = read_image(paths[index])
        images[index] = prepare(index, premultiply(image) if channels == 4 else image)

    with ThreadPoolExecutor(READING_THREADS) as threads:
        for _ in threads.map(read, range(len(paths))):
            pass
    return images


def opaque(
    images: Float[Tensor, "images height width channels"],
) -> Float[Tensor, "images height width 4"]:
    """Photographs as what they are: everything in them belongs to the scene."""
    if images.shape[-1] == 4:
        return images
    return torch.cat([images, torch.ones_like(images[..., :1])], dim=-1)


def list_photographs(folder: Path) -> list[Path]:
    """The folder's images by name. InputError if there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(f"{folder}: holds no images ({', '.join(ENDINGS)}): check the path")
    return found

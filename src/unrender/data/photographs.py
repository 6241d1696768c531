"""Reading the images of a dataset, all of one size."""

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
"""A function of an image's index and the image, applied after reading; it keeps the size."""


def read_photographs(
    source: str, paths: list[Path]
) -> Float[Tensor, "images height width channels"]:
    """Read images as RGB, or premultiplied RGBA, in [0, 1]; messages name `source`.

    Raises InputError if sizes differ, if only some images have alpha, or if they need too much
    memory.
    """
    sizes = _sizes(paths)
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"{path}: is {size[0]}x{size[1]} but {paths[0].name} is "
                f"{sizes[0][0]}x{sizes[0][1]}; all images of a dataset need one size"
            )
    return _read(source, paths, sizes[0], lambda _index, image: image)


def read_turned_photographs(
    source: str, paths: list[Path], straighten: Straighten
) -> tuple[Float[Tensor, "images height width channels"], list[bool]]:
    """Read portrait and landscape images; the minority is rotated clockwise by 90°.

    Also returns which were rotated: geometry/conventions.py rotates their cameras.
    """
    sizes = _sizes(paths)
    (size, _), *_ = Counter(sizes).most_common()
    turned = [each != size for each in sizes]
    for path, each in zip(paths, sizes, strict=True):
        if each not in (size, size[::-1]):
            raise InputError(
                f"{path}: is {each[0]}x{each[1]} but most are {size[0]}x{size[1]}; all images "
                "of a dataset need one size, in portrait or landscape"
            )

    def prepare(index: int, image: Tensor) -> Tensor:
        straight = straighten(index, image)
        return straight.rot90(-1, (0, 1)) if turned[index] else straight

    return _read(source, paths, size, prepare), turned


def _sizes(paths: list[Path]) -> list[tuple[int, int]]:
    """Widths and heights. Raises InputError if only some images have alpha."""
    headers = [image_header(path) for path in paths]
    for path, header in zip(paths, headers, strict=True):
        if header[2] != headers[0][2]:
            raise InputError(
                f"{path}: has {header[2]} channels but {paths[0].name} has {headers[0][2]}; "
                "give all images alpha, or none"
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
    """RGBA images; images without alpha get an alpha of 1."""
    if images.shape[-1] == 4:
        return images
    return torch.cat([images, torch.ones_like(images[..., :1])], dim=-1)


def list_photographs(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; add it, with the images")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(f"{folder}: contains no images ({', '.join(ENDINGS)}): check the path")
    return found

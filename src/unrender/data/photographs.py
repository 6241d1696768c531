"""Reading the images of a dataset, of one size or several."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.images import ImageStore, as_floats
from unrender.data.validate import check_memory
from unrender.errors import InputError
from unrender.geometry.distortion import (
    ROWS_AT_ONCE,
    LensDistortion,
    undistort_image,
    undistorted_rows,
)
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.files import image_header, is_deep, read_pixels, to_bytes
from unrender.kernels.runtime.jit import num_threads

READING_THREADS = 4
"""Images that are decoded at once, at most; each takes memory."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")

Lens = tuple[Float[Tensor, "3 3"], LensDistortion]
"""Intrinsics, and the distortion to be removed."""


def photograph_sizes(paths: list[Path]) -> ImageSizes:
    """The images' sizes, from their headers. InputError."""
    return ImageSizes.of([image_header(path)[:2] for path in paths])


def read_photographs(
    source: str, paths: list[Path], lenses: Sequence[Lens] | None = None
) -> ImageStore:
    """Read images, as 8 bits if all files have no more; messages name `source`.

    Distortion by the `lenses`, one for each image, is removed, and the outcome is rounded to 8
    bits again. Raises InputError if only some images have alpha, or if they need too much
    memory.
    """
    headers = [image_header(path) for path in paths]
    channels = headers[0][2]
    for path, header in zip(paths, headers, strict=True):
        if header[2] != channels:
            raise InputError(
                f"{path}: has {header[2]} channels but {paths[0].name} has {channels}; "
                "give all images alpha, or none"
            )
    deep = any(is_deep(path) for path in paths)
    sizes = ImageSizes.of([header[:2] for header in headers])
    check_memory(source, len(paths), sizes, channels * (4 if deep else 1))
    dtype = torch.float32 if deep else torch.uint8
    store = ImageStore.empty(sizes, len(paths), channels, dtype)
    undistorting = Lock()

    def read(index: int) -> None:
        image = read_pixels(paths[index])
        if lenses is not None and lenses[index][1]:
            # One at a time: the floats of several would take much memory.
            with undistorting:
                image = undistorted(image, *lenses[index])
        store.put(index, image)

    with ThreadPoolExecutor(min(READING_THREADS, num_threads())) as threads:
        for _ in threads.map(read, range(len(paths))):
            pass
    return store


def undistorted(
    image: Tensor, intrinsics: Float[Tensor, "3 3"], lens: LensDistortion
) -> Tensor:
    """The image of a pinhole camera; RGB of 8 bits stays so, and else it is floats."""
    if image.dtype != torch.uint8 or image.shape[-1] != 3:
        return undistort_image(as_floats(image), intrinsics, lens)
    planes = as_floats(image.permute(2, 0, 1).contiguous()[..., None])[..., 0]
    made = torch.empty_like(image)
    rows = undistorted_rows(planes, intrinsics, lens)
    for place, part in zip(made.split(ROWS_AT_ONCE), rows, strict=True):
        place.copy_(to_bytes(part))
    return made


def list_photographs(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; add it, with the images")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(f"{folder}: contains no images ({', '.join(ENDINGS)}): check the path")
    return found

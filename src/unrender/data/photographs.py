"""Reading the images of a dataset, of one size or several."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch

from unrender.data.images import ImageStore
from unrender.data.undistort import LensViews, Resampling
from unrender.data.validate import check_memory
from unrender.errors import InputError
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.undistortion import PinholeView
from unrender.imaging.files import image_header, is_deep, read_pixels
from unrender.kernels.runtime.jit import num_threads

READING_THREADS = 4
"""Images that are decoded at once, at most; each takes memory."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def photograph_sizes(paths: list[Path]) -> ImageSizes:
    """The images' sizes, from their headers. InputError."""
    return ImageSizes.of([image_header(path)[:2] for path in paths])


def read_photographs(
    source: str, paths: list[Path], views: LensViews | None = None
) -> ImageStore:
    """Read images, as 8 bits if all files have no more; messages name `source`.

    `views` are those that each becomes by undistortion, whose outcome is rounded to 8 bits
    again; all stand one after the other. Raises InputError if only some images have alpha, or
    if they need too much memory.
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
    sizes = ImageSizes.of(
        [header[:2] for header in headers]
        if views is None
        else [view.size for some in views for view in some]
    )
    counts = [1] * len(paths) if views is None else [len(some) for some in views]
    check_memory(source, sum(counts), sizes, channels * (4 if deep else 1))
    dtype = torch.float32 if deep else torch.uint8
    store = ImageStore.empty(sizes, sum(counts), channels, dtype)
    places = [0, *accumulate(counts)]

    def read(index: int, resamplings: Sequence[Resampling]) -> None:
        image = read_pixels(paths[index])
        for k, resampling in enumerate(resamplings):
            place = store.stored(places[index] + k)
            made = resampling(image, place)
            if made is not place:
                store.put(places[index] + k, made)
        if not resamplings:
            store.put(places[index], image)

    with ThreadPoolExecutor(min(READING_THREADS, num_threads())) as threads:
        # Those of one camera after the other, for which source pixels are computed once.
        for some, indices in _by_camera(views, len(paths)).items():
            job = partial(read, resamplings=[Resampling(view) for view in some])
            for _ in threads.map(job, indices):
                pass
    return store


def _by_camera(views: LensViews | None, count: int) -> dict[tuple[PinholeView, ...], list[int]]:
    """Numbers of the photographs that become the same views; `()`: those that are kept."""
    groups: dict[tuple[PinholeView, ...], list[int]] = {}
    for index in range(count):
        some = () if views is None else tuple(view for view in views[index] if view.resampled)
        groups.setdefault(some, []).append(index)
    return groups


def list_photographs(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; add it, with the images")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(f"{folder}: contains no images ({', '.join(ENDINGS)}): check the path")
    return found

"""Reading the images of a dataset, of one size or several."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from unrender.data.images import ImageStore, as_floats
from unrender.data.masks import find_masks, read_mask, with_mask
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.undistort import LensViews, Resampling
from unrender.errors import InputError
from unrender.files.memory import SHARE, check_memory, free_memory
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.undistortion import PinholeView
from unrender.imaging.files import (
    BYTES_PER_PIXEL,
    ENDINGS,
    ImageHeader,
    image_header,
    is_image_file,
    read_pixels,
)
from unrender.imaging.orientation import Size, seen_by
from unrender.imaging.resize import area_average
from unrender.kernels.runtime.jit import num_threads
from unrender.notes import note

READING_THREADS = 4
"""Images that are decoded at once, at most; each takes memory."""
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Photographs:
    """Image files of one scene, each turned as its camera sees it."""

    source: str
    """What messages name."""
    paths: list[Path]
    headers: list[ImageHeader]
    orientations: list[int]
    """The orientation by which each is turned; 1 where it is kept as it is stored."""

    @classmethod
    def of(
        cls, source: str, paths: list[Path], cameras: Sequence[Size | None] | None = None
    ) -> "Photographs":
        """Look at image files; `cameras` are the sizes that intrinsics refer to, if known.

        Photographs without such a size are kept as they are stored. Raises InputError for a
        file that is missing or no image, and for an image whose aspect ratio is not its
        camera's.
        """
        headers = [image_header(path) for path in paths]
        orientations: list[int] = []
        for k, (path, header) in enumerate(zip(paths, headers, strict=True)):
            camera = None if cameras is None else cameras[k]
            found = 1 if camera is None else seen_by(header, camera)
            if found is None:
                assert camera is not None
                raise InputError(
                    f"{path}: is {header.width}x{header.height}, and its camera in "
                    f"{Path(source).name} {camera[0]:g}x{camera[1]:g}: it is another, cropped "
                    "or turned image: give the size and focal length of its own camera"
                )
            orientations.append(found)
        tagged = [k for k, header in enumerate(headers) if header.orientation > 1]
        for turned in (True, False):
            some = [k for k in tagged if (orientations[k] > 1) == turned]
            if some:
                how = "turned" if turned else "kept as they are stored"
                note(
                    f"{source}: {len(some)} photographs with an EXIF orientation are {how}, as "
                    f"their cameras are, such as {paths[some[0]].name}"
                )
        return cls(source, paths, headers, orientations)

    @property
    def sizes(self) -> ImageSizes:
        """The images' sizes, before they are downscaled."""
        return ImageSizes.of(
            [
                header.size if turn < 5 else (header.height, header.width)
                for header, turn in zip(self.headers, self.orientations, strict=True)
            ]
        )

    def read(
        self,
        names: Sequence[str],
        options: LoadOptions = DEFAULTS,
        views: LensViews | None = None,
        masks: Sequence[Path | None] | None = None,
    ) -> ImageStore:
        """The images, as 8 bits if all files have no more, cut out, undistorted and downscaled.

        Those without alpha among others with alpha are opaque, and so are all pixels of
        images without a mask among others with masks. `names` are matched with the masks of
        the options. `views` are those that each becomes by undistortion, whose outcome is
        rounded to 8 bits again; all stand one after the other. Raises InputError if there is
        too little memory.
        """
        cut = [list(masks)] if masks is not None and any(masks) else []
        if options.masks is not None:
            cut.append(list(find_masks(names, Path(options.masks))))
        channels = 4 if cut else self._channels(names)
        deep = any(header.deep for header in self.headers)
        sizes = self.sizes
        if views is not None:
            sizes = ImageSizes.of([view.size for some in views for view in some])
        counts = [1] * len(self.paths) if views is None else [len(some) for some in views]
        small, places = downscaled_sizes(sizes, options.downscale), [0, *accumulate(counts)]
        pixel = channels * (4 if deep else 1)
        self._check_memory(pixel * int(sizes.areas.expand(sum(counts)).sum()), options)
        dtype = torch.float32 if deep else torch.uint8
        store = ImageStore.empty(small, sum(counts), channels, dtype)

        def read(index: int, resamplings: Sequence[Resampling]) -> None:
            header, turn = self.headers[index], self.orientations[index]
            # What is cut out or undistorted is so in full size.
            whole = bool(resamplings or cut)
            image = read_pixels(self.paths[index], turn, 1 if whole else options.downscale)
            for each in cut:
                path = each[index]
                if path is not None:
                    image = with_mask(image, read_mask(path, header, turn))
            first = places[index]
            for k, resampling in enumerate(resamplings):
                made = resampling(image, store.stored(first + k))
                store.put(first + k, shrunk(made, *small[first + k]))
            if not resamplings:
                store.put(first, shrunk(image, *small[first]))

        with ThreadPoolExecutor(min(READING_THREADS, num_threads())) as threads:
            # Those of one camera after the other, for which source pixels are computed once.
            for some, indices in _by_camera(views, len(self.paths)).items():
                job = partial(read, resamplings=[Resampling(view) for view in some])
                for _ in threads.map(job, indices):
                    pass
        return store

    def _channels(self, names: Sequence[str]) -> int:
        """4 if any image has alpha; those that have none are opaque."""
        without = [k for k, header in enumerate(self.headers) if header.channels == 3]
        if len(without) == len(self.headers):
            return 3
        if without:
            note(
                f"{self.source}: {len(without)} of {len(self.headers)} images have no alpha, "
                f"such as {names[without[0]]}: they are opaque everywhere"
            )
        return 4

    def _check_memory(self, kept: int, options: LoadOptions) -> None:
        """Raise InputError if images of `kept` bytes in full size take too much memory.

        It names the factor by which they have to be downscaled.
        """
        count, largest = len(self.paths), int(self.sizes.areas.max())
        decoding = min(READING_THREADS, num_threads(), count) * BYTES_PER_PIXEL * largest
        room = SHARE * free_memory() - decoding
        remedy = "close other programs, or use fewer or smaller images"
        if room > 0:
            factor = max(options.downscale + 1, math.ceil(math.sqrt(kept / room)))
            remedy = f"give --downscale {factor} (in Python, downscale={factor})"
        check_memory(
            f"{self.source}: reading {count} images of {self.sizes}",
            kept // options.downscale**2 + decoding,
            remedy,
        )


def _by_camera(views: LensViews | None, count: int) -> dict[tuple[PinholeView, ...], list[int]]:
    """Numbers of the photographs that become the same views; `()`: those that are kept."""
    groups: dict[tuple[PinholeView, ...], list[int]] = {}
    for index in range(count):
        some = () if views is None else tuple(view for view in views[index] if view.resampled)
        groups.setdefault(some, []).append(index)
    return groups


def downscaled_sizes(sizes: ImageSizes, downscale: int) -> ImageSizes:
    """Sizes divided by an integer and rounded down. InputError if a side would vanish."""
    most = int(sizes.rows.min())
    if not 1 <= downscale <= most:
        raise InputError(
            f"--downscale {downscale}: images are {sizes}: give a factor from 1 to {most}"
        )
    return ImageSizes(sizes.rows // downscale)


def shrunk(image: Tensor, width: int, height: int) -> Tensor:
    """An image at a smaller size: floats, by averaging over areas; or as it is, if it fits."""
    tall, wide, _ = image.shape
    if (tall, wide) == (height, width):
        return image
    factor = wide // width
    if (tall, wide) != (height * factor, width * factor):
        return area_average(as_floats(image), width, height)
    # In strips: the floats of all rows would take much memory.
    rows = image.split(factor * max(1, ROWS_AT_ONCE // factor))
    parts = [as_floats(part).view(-1, factor, width, factor, image.shape[2]) for part in rows]
    return torch.cat([part.mean((1, 3)) for part in parts])


def list_photographs(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; add it, with the images")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); check it") from error
    found = [path for path in entries if is_image_file(path)]
    if not found:
        raise InputError(f"{folder}: contains no images ({', '.join(ENDINGS)}): check the path")
    return found

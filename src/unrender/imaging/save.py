"""Images saved by the ending of a file's name, and shown wherever the user is."""

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unrender.errors import InputError
from unrender.files import check_target, ending, make_folder
from unrender.imaging.files import STILLS, png_bytes, to_bytes, write_image
from unrender.imaging.video import write_video

ImageList = Sequence[Float[Tensor, "_ _ _"]] | Float[Tensor, "images _ _ _"]
"""Images [height, width, channels]: a list, of one size or several, or a tensor."""
VIDEOS = (".mp4", ".gif")
SHEET_IMAGES = 12
SHEET_PIXELS = 1024
SMALL_SHEET = 480
"""Maximum number of images, and of pixels per side, in a contact sheet."""


def save_images(
    path: Path,
    images: ImageList,
    fps: int = 24,
) -> list[Path]:
    """Save images in [0, 1] as the ending says; returns the files that were written.

    .png, .jpg and .webp hold one image each: several are numbered, NAME_0000.png and so on.
    .mp4 and .gif hold all of them as a video, on white if they differ in size. A name without
    an ending is a folder that gets one .png for each. Files are written whole or not at all.
    Raises InputError.
    """
    suffix = ending(path)
    if suffix in VIDEOS:
        check_target(path)
        frames = images if isinstance(images, Tensor) else padded(images)
        write_video(path, frames[..., :3], fps)
        return [path]
    if not suffix:
        make_folder(path)
        files = [path / f"{k:04d}.png" for k in range(len(images))]
    elif suffix not in STILLS:
        raise InputError(
            f"{path}: cannot be written as {suffix}: end it in {', '.join((*STILLS, *VIDEOS))}"
        )
    elif len(images) == 1:
        files = [path]
    else:
        files = [path.with_name(f"{path.stem}_{k:04d}{suffix}") for k in range(len(images))]
    check_target(files[0])
    for file, image in zip(files, images, strict=True):
        write_image(file, image)
    return files


def padded(
    images: ImageList,
) -> Float[Tensor, "images height width channels"]:
    """Images of any sizes in the middle of white frames of one size, the smallest possible."""
    tall, wide = (max(image.shape[axis] for image in images) for axis in (0, 1))
    framed = images[0].new_ones(len(images), tall, wide, images[0].shape[2])
    for frame, image in zip(framed, images, strict=True):
        height, width, _ = image.shape
        top, left = (tall - height) // 2, (wide - width) // 2
        frame[top : top + height, left : left + width] = image
    return framed


def contact_sheet(
    images: ImageList,
    columns: int = 4,
) -> Float[Tensor, "sheet_height sheet_width channels"]:
    """Up to twelve of the images in rows, evenly chosen, with white gaps between them.

    A sheet that would be small on a screen is enlarged by an integer factor.
    """
    count = min(SHEET_IMAGES, len(images))
    numbers = torch.linspace(0, len(images) - 1, count).round().long().tolist()
    chosen = padded([images[k] for k in numbers])
    columns = min(columns, count)
    step = -(-chosen.shape[2] * columns // SHEET_PIXELS)
    chosen = chosen[:, ::step, ::step]
    factor = max(1, SMALL_SHEET // (4 * chosen.shape[2]))
    chosen = chosen.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    gap = max(1, chosen.shape[2] // 40)
    framed = torch.nn.functional.pad(chosen, (0, 0, gap, gap, gap, gap), value=1.0)
    missing = -count % columns
    blank = torch.ones_like(framed[:1]).expand(missing, *framed.shape[1:])
    rows = torch.cat([framed, blank]).unflatten(0, (-1, columns))
    return torch.cat([torch.cat(list(row), dim=1) for row in rows])


def show_image(image: Float[Tensor, "height width channels"], name: str = "unrender") -> None:
    """Show an image: in a notebook inline, on a desktop in a window, elsewhere as a file."""
    if "ipykernel" in sys.modules:
        display: Any = import_module("IPython.display")
        display.display(display.Image(data=png_bytes(image)))
        return
    desktop = sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if desktop:
        Image.fromarray(to_bytes(image).numpy()).show(name)
        return
    path = Path(tempfile.gettempdir()) / f"{name}.png"
    path.write_bytes(png_bytes(image))
    print(f"There is no display here: see {path}")

"""Images side by side with a label above each."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate, pad

from unrender.imaging.save import save_images

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONT = 13
"""Height of the labels' letters, in pixels."""
GAP = 6
"""White pixels between panels."""
MIN_SIDE = 160
"""Panels narrower than this are enlarged by an integer factor, without smoothing."""
BLANK = 0.98
"""A pixel that is at least this bright in every channel is blank."""
MARGIN = 0.04
"""Blank margin that is left around what images show, as a share of their shorter side."""


def panels(
    images: Mapping[str, Float[Tensor, "height width 3"]],
    columns: int | None = None,
    trim: bool = True,
) -> Float[Tensor, "sheet_height sheet_width 3"]:
    """RGB images in [0, 1] in rows of `columns` (by default one row), each below its label.

    All panels get the height and width of the largest; smaller ones are padded with white.
    With `trim`, margins that are white in every panel are left out.
    """
    shown = [image.detach().cpu().clamp(0, 1) for image in images.values()]
    enlarged = [_enlarged(image) for image in (trimmed(shown) if trim else shown)]
    font = _font()
    longest = max(font.getlength(word) for label in images for word in label.split() or [""])
    width = max(math.ceil(longest), *(image.shape[1] for image in enlarged))
    height = max(image.shape[0] for image in enlarged)
    labels = [_wrapped(label, font, width)[:2] for label in images]
    lines = max(map(len, labels))
    tiles = [
        _tile(_header("\n".join(label), lines, width + GAP, font), image, height, width)
        for label, image in zip(labels, enlarged, strict=True)
    ]
    columns = min(columns or len(tiles), len(tiles))
    tiles += [torch.ones_like(tiles[0])] * (-len(tiles) % columns)
    rows = [torch.cat(tiles[k : k + columns], dim=1) for k in range(0, len(tiles), columns)]
    return torch.cat(rows)


def save_panels(
    path: str | Path,
    images: Mapping[str, Float[Tensor, "height width 3"]],
    *,
    columns: int | None = None,
) -> None:
    """Save images side by side with a label above each, as one picture.

    Args:
        path: A .png, .jpg or .webp file.
        images: RGB images [height, width, 3] in [0, 1] by their labels.
        columns: Panels in a row; by default all of them.

    Raises InputError for other endings and places that cannot be written.

    >>> import torch
    >>> import unrender as ur
    >>> ur.save_panels("two.png", {"black": torch.zeros(9, 9, 3), "white": torch.ones(9, 9, 3)})
    """
    save_images(Path(path), panels(images, columns)[None])


def _enlarged(image: Float[Tensor, "height width 3"]) -> Float[Tensor, "tall wide 3"]:
    factor = max(1, -(-MIN_SIDE // max(image.shape[:2])))
    batch = image.permute(2, 0, 1)[None]
    return interpolate(batch, scale_factor=factor, mode="nearest")[0].permute(1, 2, 0)


def trimmed(images: Sequence[Float[Tensor, "*_ _ _ 3"]]) -> list[Float[Tensor, "*_ _ _ 3"]]:
    """Images, or batches of them, without the blank margins that all have in common.

    All are cut in the same proportions, also if they differ in resolution. They are left as
    they are if all are blank, or if their aspect ratios differ by more than a pixel.
    """
    height, width = min(tuple(image.shape[-3:-1]) for image in images)
    masks: list[Tensor] = []
    for image in images:
        tall, wide = image.shape[-3:-1]
        if abs(tall * width - wide * height) > max(tall, wide):
            return list(images)
        used = (image < BLANK).any(dim=-1).view(-1, 1, tall, wide).float()
        masks.append(adaptive_max_pool2d(used, (height, width)).amax(dim=(0, 1)))
    used = torch.stack(masks).any(dim=0)
    if not used.any():
        return list(images)
    margin = max(1, round(MARGIN * min(height, width)))
    (top, bottom), (left, right) = (_with_margin(used.any(dim=axis), margin) for axis in (1, 0))
    return [
        image[..., _part(top, bottom, height, image.shape[-3]), :, :][
            ..., _part(left, right, width, image.shape[-2]), :
        ]
        for image in images
    ]


def _with_margin(used: Bool[Tensor, "places"], margin: int) -> tuple[int, int]:
    """The first used place and the one after the last, with a margin where there is room."""
    places = used.nonzero().flatten().tolist()
    return max(places[0] - margin, 0), min(places[-1] + 1 + margin, len(used))


def _part(start: int, stop: int, coarse: int, fine: int) -> slice:
    """The same part of a side with `fine` pixels as start to stop of one with `coarse`."""
    return slice(round(start * fine / coarse), round(stop * fine / coarse))


def _tile(
    header: Float[Tensor, "_ _ 3"], image: Float[Tensor, "_ _ 3"], height: int, width: int
) -> Float[Tensor, "tile_height tile_width 3"]:
    """The label over the image, which is centered in a frame of height and width and a gap."""
    tall, wide = height - image.shape[0], width - image.shape[1]
    left = GAP // 2 + wide // 2
    sides = (0, 0, left, GAP + wide - left, 0, GAP + tall)
    return torch.cat([header, pad(image, sides, value=1.0)])


def _header(text: str, lines: int, width: int, font: Font) -> Float[Tensor, "_ _ 3"]:
    """The label's text in black on white, with room for that many lines."""
    header = Image.new("RGB", (width, lines * (FONT + 5) + 8), "white")
    place = (width / 2, header.height - 5)
    draw = ImageDraw.Draw(header)
    draw.multiline_text(place, text, "black", font, anchor="md", align="center", spacing=4)
    return torch.from_numpy(np.asarray(header, dtype=np.float32) / 255)


def _font() -> Font:
    """DejaVu Sans, which comes with matplotlib and has mathematical symbols."""
    spec = find_spec("matplotlib")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    for place in places:
        path = Path(place) / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.exists():
            return ImageFont.truetype(str(path), FONT)
    return ImageFont.load_default(FONT)


def _wrapped(label: str, font: Font, width: int) -> list[str]:
    """The label in lines that are no wider than `width` pixels where words allow it."""
    lines: list[str] = []
    for word in label.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines

"""One rule for photographs that EXIF says to turn.

Cameras say for which of the two they hold, by the size that their intrinsics refer to: where
it is that of the pixels as they are stored, these stay; where it is that of the turned image,
it is turned. Where no camera says so, a photograph is turned, as a viewer shows it.
"""

from collections.abc import Sequence

from unrender.imaging.files import ImageHeader

ASPECT = 0.02
"""Relative difference in aspect ratio that rounding and cropping explain."""

Size = tuple[int | float, int | float]
"""Width and height."""


def same_aspect(size: Size, other: Size) -> bool:
    """Whether an image has the aspect of another, but for rounding by at most a pixel."""
    off = abs(size[0] * other[1] - size[1] * other[0])
    return off <= max(ASPECT * size[1] * other[0], *other)


def seen_by(header: ImageHeader, camera: Size) -> int | None:
    """The orientation by which to turn an image for a camera, 1 for none; None if none fits."""
    stored, upright = (
        abs(width * camera[1] - height * camera[0])
        for width, height in (header.size, header.upright)
    )
    if stored <= upright:
        return 1 if same_aspect(header.size, camera) else None
    return header.orientation if same_aspect(header.upright, camera) else None


def shown_by(header: ImageHeader, cameras: Sequence[Size] = ()) -> int:
    """The orientation by which to turn an image that may be of any of these cameras.

    It is turned, unless only what is stored, or a square, has the size of one of them.
    """
    found = {seen_by(header, camera) for camera in cameras}
    square = header.width == header.height
    return (
        1 if 1 in found and (square or header.orientation not in found) else header.orientation
    )

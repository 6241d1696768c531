"""Photographs of one object, without cameras, as posed views: cut out, framed and placed.

Nothing in a photograph says how large its object is and from where it was seen. The object's
center becomes the origin of a world whose z axis points up, the longest side that the first
photograph shows gets length 1, and the camera looks at the center from an assumed elevation.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from skimage.measure import label as connected_parts
from torch import Tensor

from unrender.data.image_shape.framing import SOLID, framed_images
from unrender.data.masks import read_mask
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.spherical import pose_from_spherical
from unrender.imaging.color import matte
from unrender.imaging.files import image_header, read_rgba
from unrender.imaging.originals import exif_lens
from unrender.notes import note

FOV = 40.0
"""Degrees that a framed photograph spans, where nothing says what its lens was."""
ELEVATION = 20.0
"""Degrees above the horizon from which an object is seen, where nothing says otherwise."""
FILL = 0.8
"""Share of the frame's side that the object's longer side gets."""
FILLS, OFF_CENTER = (0.6, 0.95), 0.1
"""A square photograph is kept as it is if the object fills such a share of its side, and its
middle is that share of the side, or less, away from the photograph's."""
SIDE = 512
"""Pixels per side of a framed photograph, at most."""
LEAST = 8
"""Pixels of the object's longer side, at least."""
PLAIN, TOLERANCE = 0.7, 12 / 255
"""A background is plain if that share of the border's pixels has one color, up to that
difference per channel, which lossy formats explain."""
SECOND = 0.25
"""Parts that do not touch are two objects if the smaller has that share of the larger area."""
SPECK = 0.002
"""Parts of less than that share of the largest part's area are no part of the object, where it
was told from a plain background."""
HOLE = 0.005
"""Holes up to that share are highlights, and no gaps through which the background is seen."""
FILM_DIAGONAL = 43.27
"""Diagonal in mm of the film that 35 mm equivalent focal lengths refer to (CIPA DC-008)."""
LENSES = (5.0, 2000.0)
"""Equivalent focal lengths in mm that are believed."""

Picture = Float[Tensor, "height width 4"]
"""Premultiplied RGBA, in [0, 1]."""


@dataclass(frozen=True)
class ObjectPhotograph:
    """A photograph with its object cut out."""

    name: str
    """Of the file, for messages."""
    picture: Picture
    focal: float | None = None
    """Focal length in pixels by its EXIF data, if these have one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.shape[1], self.picture.shape[0]


@dataclass(frozen=True)
class _Frame:
    """A square about the object, in pixels of the photograph."""

    left: int
    top: int
    side: int
    width: int
    """Of the object."""
    height: int

    @property
    def fill(self) -> float:
        return max(self.width, self.height) / self.side


def read_object(path: Path, mask: Path | None = None) -> ObjectPhotograph:
    """Read a photograph and cut its object out: by a mask, its alpha or a plain background.

    It is turned as EXIF says. A mask is white where the object is, and has the size of the
    photograph. InputError if there is no such thing, or if the photograph shows two objects.
    """
    header = image_header(path)
    picture = read_rgba(path, header.orientation)
    if mask is not None:
        cut = picture * read_mask(mask, header, header.orientation)[..., None]
    else:
        cut = cut_out(picture, str(path))
    return ObjectPhotograph(str(path), cut, _exif_focal(path, *header.size))


def cut_out(picture: Picture, name: str) -> Picture:
    """The object of a picture, by its alpha or against a plain background. InputError."""
    if not bool((picture[..., 3] < SOLID).any()):
        picture = _against_plain_background(picture, name)
    areas = _areas(picture[..., 3] >= SOLID)[1]
    if len(areas) > 1 and areas[1] >= SECOND * areas[0]:
        many = sum(area >= SECOND * areas[0] for area in areas)
        raise InputError(
            f"{name}: shows {many} objects, of {areas[0]} and {areas[1]} pixels, that do not "
            "touch: choose one by --mask FILE, an image that is white where it is"
        )
    return picture


def _against_plain_background(picture: Picture, name: str) -> Picture:
    """An opaque picture without its background, which has to be of one color. InputError."""
    image = picture[..., :3]
    border = torch.cat([image[0], image[-1], image[:, 0], image[:, -1]])
    color = border.median(0).values
    plain = ((border - color).abs() <= TOLERANCE).all(-1).float().mean()
    if float(plain) < PLAIN:
        raise InputError(
            f"{name}: has neither alpha nor a plain background to tell the object by: give "
            "--mask FILE, an image that is white where the object is, or cut it out as a .png"
        )
    solid = matte(image, color, TOLERANCE)[..., 3] > 0
    parts, areas = _areas(solid)
    holes, _ = _areas(~solid)
    if areas:
        kept, small = (each.flatten().bincount() for each in (parts, holes))
        kept, small = kept >= SPECK * areas[0], small <= HOLE * areas[0]
        kept[0] = small[0] = False
        small[torch.cat([holes[0], holes[-1], holes[:, 0], holes[:, -1]])] = False
        solid = kept[parts] | small[holes]
    alpha = solid.to(image)[..., None]
    return torch.cat([image * alpha, alpha], dim=2)


def _areas(
    solid: Bool[Tensor, "height width"],
) -> tuple[Int[Tensor, "height width"], list[int]]:
    """The part that each pixel belongs to, 0 for none, and the parts' areas, largest first."""
    parts = np.asarray(connected_parts(solid.cpu().numpy(), connectivity=2))
    found = torch.from_numpy(parts).long()
    return found, sorted(found.flatten().bincount()[1:].tolist(), reverse=True)


def _exif_focal(path: Path, width: int, height: int) -> float | None:
    """The focal length in pixels, by the 35 mm equivalent of EXIF."""
    lens = exif_lens(path)
    with suppress(ValueError, ZeroDivisionError):
        if lens and lens[2] and LENSES[0] <= float(lens[2]) <= LENSES[1]:
            return float(lens[2]) / FILM_DIAGONAL * math.hypot(width, height)
    return None


def object_views(
    photographs: Sequence[ObjectPhotograph],
    azimuths: Sequence[float | int] = (),
    elevations: Sequence[float | int] = (),
    fov: float | int | None = None,
) -> Views:
    """Square posed views of an object, from one or a few photographs of it.

    z is up and the origin is the object's center, that of `ball`. The camera of a photograph
    stands at its azimuth (degrees about z, counterclockwise from above; 0 is the x axis) and
    elevation (degrees above the horizon, one for each or for all, by default 20), and looks at
    the origin. `fov` is the horizontal field of view of the photographs in degrees; by default
    that of their EXIF data, and without these the framed photographs are taken to span 40°.

    The longest side that the first photograph shows has length 1, and the others are from such
    distances that the object is equally high, as is right for equal elevations. What is
    assumed, and what is framed, is said by notes. InputError for several photographs without
    azimuths, and for objects of a few pixels.
    """
    count = len(photographs)
    azimuths = azimuths or (0,) * (count == 1)
    if not count or len(azimuths) != count:
        raise InputError(
            f"{count} photographs and {len(azimuths)} azimuths: say from where around the "
            "object each was taken: --azimuth 0 90 for a front and a side"
        )
    if len(elevations) not in (0, 1, count):
        raise InputError(
            f"{len(elevations)} elevations for {count} photographs: give one for each, or one"
        )
    for name, values, most in (("azimuth", azimuths, 720), ("elevation", elevations, 90)):
        for value in values:
            if not -most <= value <= most:
                raise InputError(f"--{name} {value:g}: give degrees from -{most} to {most}")
    if fov is not None and not 1 <= fov <= 150:
        raise InputError(f"--fov {fov:g}: give degrees from 1 to 150")
    heights = elevations or (ELEVATION,)
    frames = [_frame(each) for each in photographs]
    spans = [_span(*each, fov) for each in zip(photographs, frames, strict=True)]
    _tell_assumptions(photographs, spans, fov, bool(elevations))
    side = min(SIDE, max(frame.side for frame in frames))
    half = [math.tan(span / 2) for span in spans]
    first = frames[0]
    # By equal heights; the first photograph's longer side is 1.
    tall = first.height / max(first.width, first.height)
    distances = [
        tall * frame.side / (2 * frame.height * h)
        for frame, h in zip(frames, half, strict=True)
    ]
    level = [math.radians(heights[k % len(heights)]) for k in range(count)]
    around = [math.radians(azimuth) for azimuth in azimuths]
    focal = torch.tensor([side / 2 / each for each in half])
    poses = pose_from_spherical(level, around, distances).float()
    # The ball touches the rays at the ends of the longest side that is shown.
    reach = [
        distance * math.sin(math.atan(frame.fill * h))
        for distance, frame, h in zip(distances, frames, half, strict=True)
    ]
    images = [
        framed_images(
            photograph.picture[None],
            torch.tensor([[frame.left, frame.top, frame.side]], dtype=torch.float32),
            side,
        )
        for photograph, frame in zip(photographs, frames, strict=True)
    ]
    return Views(
        Cameras.from_focal(poses, focal, side, side),
        torch.cat(images),
        names=tuple(each.name for each in photographs),
        ball=torch.tensor([0, 0, 0, max(reach)]),
    )


def _frame(photograph: ObjectPhotograph) -> _Frame:
    """The square that becomes the view; said by a note unless it is the whole photograph."""
    name, (wide, tall) = photograph.name, photograph.size
    solid = photograph.picture[..., 3] >= SOLID
    if not bool(solid.any()):
        raise InputError(
            f"{name}: shows no object: nothing is opaque, or all has the background's color"
        )
    (left, right), (top, bottom) = (
        (int(where[0]), int(where[-1]) + 1)
        for where in (solid.any(0).nonzero()[:, 0], solid.any(1).nonzero()[:, 0])
    )
    width, height = right - left, bottom - top
    if max(width, height) < LEAST:
        raise InputError(
            f"{name}: the object is {width}×{height} pixels: give a larger photograph, or one "
            f"in which it has at least {LEAST}"
        )
    if not (left and top and right < wide and bottom < tall):
        note(f"{name}: the object reaches the border: what is cut off there is not known")
    aside = max(abs(left + right - wide), abs(top + bottom - tall)) / 2
    whole = _Frame(0, 0, wide, width, height)
    if wide == tall and FILLS[0] <= whole.fill <= FILLS[1] and aside <= OFF_CENTER * wide:
        return whole
    side = math.ceil(max(width, height) / FILL)
    note(
        f"{name}: is {wide}×{tall}, and the object {width}×{height}: framed as a square of "
        f"{side} pixels about it"
    )
    return replace(
        whole,
        left=(left + right - side) // 2,
        top=(top + bottom - side) // 2,
        side=side,
    )


def _span(photograph: ObjectPhotograph, frame: _Frame, fov: float | int | None) -> float:
    """The field of view of the framed photograph, in radians."""
    focal = photograph.focal
    if fov is not None:
        focal = photograph.size[0] / 2 / math.tan(math.radians(fov) / 2)
    return math.radians(FOV) if focal is None else 2 * math.atan(frame.side / 2 / focal)


def _tell_assumptions(
    photographs: Sequence[ObjectPhotograph],
    spans: Sequence[float],
    fov: float | int | None,
    elevations_known: bool,
) -> None:
    for photograph, span in zip(photographs, spans, strict=True):
        assumed: list[str] = []
        options: list[str] = []
        if not elevations_known:
            assumed.append(f"from {ELEVATION:g}° above the horizon")
            options.append("--elevation")
        if fov is None:
            known = "" if photograph.focal is None else " by its EXIF data"
            assumed.append(f"with a field of view of {math.degrees(span):.0f}°{known}")
            options.append("--fov")
        if assumed:
            note(
                f"{photograph.name}: taken as seen {' and '.join(assumed)}: "
                f"{' and '.join(options)} can say otherwise"
            )

"""Cameras of photographs of a flat card, from its outline of known size.

Structure from motion needs texture that looks the same from everywhere; a small glossy card
has none. Its outline is found in each photograph (rectangle_outline.py), and tells the pose and
the focal length (rectangle_pose.py). Which corner is which follows from the sides' proportions
and from what is printed: turned by half a turn, the outline is the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from unrender.data.dataset import Layout
from unrender.data.formats.frame_times import TIMES
from unrender.data.photographs import Photographs
from unrender.data.splits import hold_out
from unrender.data.structure_from_motion import (
    MIN_IMAGES,
    Reconstructed,
    Stage,
    copy_images,
    images_by_camera,
)
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import check_new, remove_folder, replacing
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import compose, so3_exp
from unrender.imaging.files import image_header, read_image
from unrender.imaging.originals import exif_lens
from unrender.inverse.rectangle_outline import find_rectangle
from unrender.inverse.rectangle_pose import RectangleView, rectangle_poses

NO_OUTLINE = "no outline of a card: show all of it, on a ground of another color"
NOT_THIS = "an outline that is not the card's: show all of it, and nothing else as large"
WORST = 0.02
"""Largest distance of corners from where they are projected, relative to the card's side."""
SQUARE = 0.02
"""Relative difference of sides up to which the outline does not tell one from the other."""
PRINT = (48, 32)
"""Columns and rows of what is printed on the card, as it is compared."""
ROUNDS = 4
FILM_WIDTH = 36.0
"""Millimeters of the film to which EXIF's equivalent focal lengths refer."""


@dataclass(frozen=True)
class Placed:
    """An image, its camera, and what it shows on the card."""

    name: str
    camera: Cameras
    error: float
    """Root mean square distance of corners from where they are projected, in pixels."""
    printed: Float[Tensor, "rows columns 3"]

    def turned(self, quarters: int) -> "Placed":
        """With the card turned about its normal by quarters of a turn, counterclockwise."""
        angle = torch.tensor([0.0, 0.0, quarters * math.pi / 2])
        turn = torch.cat([so3_exp(angle), torch.zeros(3, 1)], dim=1)[None]
        pose = compose(turn, self.camera.world_from_camera)
        return replace(self, camera=self.camera.with_poses(pose))


def process_card(
    source: Path,
    out: Path,
    card: tuple[float, float],
    frames: int,
    size: int,
    layout: Layout,
    stage: Stage,
) -> Reconstructed:
    """Write posed images of a card of this width and height, whose unit becomes the scene's.

    The card's middle is the origin, x its right, y its upper side and z what faces the cameras.
    Photographs without an outline that is the card's are left out. InputError if too few
    remain; then nothing is written.
    """
    check_card(card)
    check_new(out)
    with replacing(out, folder=True) as folder:
        images, made = folder / "photographs", folder / "made"
        images.mkdir()
        count = copy_images(source, images, frames, size, stage)
        placed, left = place_card(images, card, stage)
        if len(placed) < MIN_IMAGES:
            name, reason = left[0]
            raise InputError(
                f"{source}: the card was found in {len(placed)} of {count} images: give at "
                f"least {MIN_IMAGES} that show it ({name}: {reason})"
            )
        names = [each.name for each in placed]
        files = Photographs.of(str(source), [images / name for name in names])
        cameras = concatenate([each.camera for each in placed])
        views = Views(cameras, store=files.read(names), names=tuple(names))
        hold_out(out.name, views).save(made, layout)
        remove_folder(images)
        # The card stands still: frames of a video are a scene like photographs.
        (folder / TIMES).unlink(missing_ok=True)
        for entry in [*made.iterdir()]:
            entry.rename(folder / entry.name)
        made.rmdir()
    errors = [each.error for each in placed]
    return Reconstructed(count, len(placed), 4, sum(errors) / len(errors), (), tuple(left))


def check_card(card: tuple[float, float]) -> None:
    """InputError unless both sides are positive and of similar size."""
    width, height = card
    if not (0 < width < float("inf") and 0 < height < float("inf")):
        raise InputError(
            f"card {width:g}x{height:g}: give width and height, such as 85.6x53.98 for a bank "
            "or student card in millimeters"
        )
    if not 0.1 <= width / height <= 10:
        raise InputError(f"card {width:g}x{height:g}: one side is over ten times the other")


def place_card(
    folder: Path, card: tuple[float, float], stage: Stage
) -> tuple[list[Placed], list[tuple[str, str]]]:
    """Images of a folder with the card's pose in each, and the names of others with reasons."""
    groups = images_by_camera(folder)
    placed: list[Placed] = []
    left: list[tuple[str, str]] = []
    done, count = 0, sum(len(group) for group in groups)
    for group in groups:
        names: list[str] = []
        outlines: list[Tensor] = []
        for name in group:
            corners = find_rectangle(_rgb(folder / name))
            if corners is None:
                left.append((name, NO_OUTLINE))
            else:
                names.append(name)
                outlines.append(corners)
            done += 1
            stage("outlines", done, count)
        if not names:
            continue
        width, height = image_header(folder / names[0]).size
        focal = _exif_focal(folder / names[0], width, height)
        view, good = outlines_as_card(torch.stack(outlines), card, (width, height), focal)
        for k, name in enumerate(names):
            if not bool(good[k]):
                left.append((name, NOT_THIS))
                continue
            pose = view.world_from_camera[k : k + 1]
            camera = Cameras.from_focal(pose.float(), view.focal, width, height)
            printed = card_print(_rgb(folder / name), camera, card)
            placed.append(Placed(name, camera, float(view.errors[k]), printed))
    square = abs(card[0] / card[1] - 1) < SQUARE
    turns = turned_alike([each.printed for each in placed], 4 if square else 2)
    placed = [each.turned(turn) for each, turn in zip(placed, turns, strict=True)]
    # The side that most photographs have below is the card's lower one.
    downs = [float(each.camera.world_from_camera[0, 1, 1]) for each in placed]
    return [each.turned(2) for each in placed] if sum(downs) > 0 else placed, left


def outlines_as_card(
    corners: Float[Tensor, "images 4 2"],
    card: tuple[float, float],
    size: tuple[int, int],
    focal: float | None,
) -> tuple[RectangleView, Bool[Tensor, "images"]]:
    """Poses of outlines, clockwise in images of one camera, and which outlines are the card's.

    `focal`, in pixels, is used where the outlines do not tell it. Poses are right up to half a
    turn of the card. InputError if the focal length is not known.
    """
    center = torch.tensor([size[0] / 2, size[1] / 2], dtype=torch.float64)
    sides = (corners - corners.roll(-1, 1)).norm(dim=2)
    across, down = sides[:, 0] + sides[:, 2], sides[:, 1] + sides[:, 3]
    # At first, what looks longer is the longer side.
    turned = (across < down) != (card[0] < card[1])
    corners = torch.where(turned[:, None, None], corners.roll(1, 1), corners)

    def fitted(corners: Tensor, good: Tensor) -> tuple[RectangleView, Tensor, Tensor]:
        """Poses, which outlines fit better turned by a quarter, and relative errors."""
        try:
            length = rectangle_poses(corners[good], card, center).focal
        except InputError:
            if focal is None:
                raise
            length = focal
        view = rectangle_poses(corners, card, center, length)
        other = rectangle_poses(corners.roll(1, 1), card, center, length)
        errors = torch.minimum(view.errors, other.errors) / sides.mean(1)
        return view, other.errors < view.errors, errors

    good = torch.ones(len(corners), dtype=torch.bool)
    view, turned, errors = fitted(corners, good)
    for _ in range(ROUNDS):
        # The worst are dropped first: they have spoiled the focal length for the others.
        kept = good & (errors <= max(WORST, 2 * float(errors[good].median())))
        if not bool(turned[kept].any()) and torch.equal(kept, good):
            break
        good = kept
        corners = torch.where(turned[:, None, None], corners.roll(1, 1), corners)
        view, turned, errors = fitted(corners, good)
    return view, good & (view.errors / sides.mean(1) <= WORST)


def card_print(
    image: Float[Tensor, "height width 3"], camera: Cameras, card: tuple[float, float]
) -> Float[Tensor, "rows columns 3"]:
    """What one camera sees on the card, as from its front; rows point down."""
    columns, rows = PRINT
    grid = pixel_grid(columns, rows) / torch.tensor([columns, rows]) - 0.5
    points = torch.cat(
        [grid * torch.tensor([card[0], -card[1]]), torch.zeros(rows, columns, 1)], -1
    )
    pixel, _ = camera.project(torch.zeros(rows * columns, dtype=torch.long), points.view(-1, 3))
    place = 2 * pixel / torch.tensor([camera.width, camera.height]) - 1
    planes = image.permute(2, 0, 1)[None]
    found = grid_sample(planes, place.view(1, rows, columns, 2), align_corners=False)
    return found[0].permute(1, 2, 0)


def turned_alike(prints: Sequence[Float[Tensor, "rows columns 3"]], turns: int) -> list[int]:
    """By how many quarters of a turn each card is to be turned so that all look alike.

    Half turns only for `turns` = 2. The first card stays as it is.
    """
    steps = (0, 2) if turns == 2 else (0, 1, 2, 3)
    tried = [[_standard(_turned(each, step)) for step in steps] for each in prints]
    if not tried:
        return []
    # The first round compares with the first card alone: the others are not sorted yet.
    like = tried[0][0]
    chosen = [0] * len(tried)
    for _ in range(ROUNDS):
        chosen = [
            int(torch.stack([(each * like).sum() for each in ways]).argmax()) for ways in tried
        ]
        like = torch.stack([ways[k] for ways, k in zip(tried, chosen, strict=True)]).mean(0)
    return [steps[(chosen[k] - chosen[0]) % len(steps)] for k in range(len(prints))]


def _turned(image: Float[Tensor, "rows columns 3"], quarters: int) -> Tensor:
    turned = torch.rot90(image, quarters, (0, 1))
    if quarters % 2:
        size = image.shape[:2]
        turned = interpolate(turned.permute(2, 0, 1)[None], size, mode="bilinear")[0]
        turned = turned.permute(1, 2, 0)
    return turned


def _standard(image: Float[Tensor, "rows columns 3"]) -> Tensor:
    """Of mean 0 and norm 1 in each channel: light and exposure differ between photographs."""
    centered = image - image.mean((0, 1))
    return centered / centered.norm(dim=(0, 1)).clamp_min(1e-6)


def _exif_focal(path: Path, width: int, height: int) -> float | None:
    """The focal length in pixels, by EXIF's equivalent for film of 36 millimeters."""
    lens = exif_lens(path)
    if len(lens) < 3 or not lens[2]:
        return None
    try:
        equivalent = float(lens[2])
    except ValueError:
        return None
    return equivalent / FILM_WIDTH * max(width, height) if equivalent > 0 else None


def _rgb(path: Path) -> Float[Tensor, "height width 3"]:
    return read_image(path)[..., :3]

"""Poses of images by a run: by a pose flow, or refined by render-and-compare."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.formats.camera_files import read_cameras
from unrender.data.origin import HERE, Origin
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.angles import ViewAngles, view_angles
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import UP, evenly, upwards
from unrender.imaging.color import Color, as_color, matte
from unrender.imaging.files import image_header, read_rgba
from unrender.imaging.orientation import Size, shown_by
from unrender.imaging.resize import area_average, area_average_known
from unrender.inverse.photometric_poses import RenderAndCompare, joined
from unrender.rendering.renderer import Images, PoseEstimate

if TYPE_CHECKING:
    from unrender.api.run import Run
else:
    Run = Any

OPAQUE = "opaque"
"""A background that belongs to the scene: nothing is cut out."""
LOOKS, LOOK_SIDE = 3, 32
"""Training cameras, and pixels of their longer side, by which a scene is found to be opaque."""
FAR_BELOW = {"held-out": 6.0, "training": 9.0}
"""dB below the PSNR of the run's own views from which on an image is not like them."""

Picture = Float[Tensor, "_ _ 4"]
"""Premultiplied RGBA, in [0, 1]."""


def find_poses(
    run: Run,
    images: object,
    start: object,
    background: Color | None,
    options: RenderAndCompare,
) -> PoseEstimate:
    """What `Run.pose` does. InputError."""
    given = as_pictures(images, sizes_seen(run, start))
    color = background_of(run, given, background)
    by_flow = run.method.finds_poses
    if by_flow or not isinstance(start, PoseEstimate | Cameras | str | Path):
        given = squared(run if by_flow else start, given)
    cut_out = [each if color is None else matte(each[..., :3], color) for each in given]
    if by_flow:
        if start is not None:
            raise InputError(f"{run.label}: finds poses by itself: leave `start` out")
        return run.fitted.estimate_poses(torch.stack(cut_out))
    if start is None:
        return run.fitted.estimate_poses(cut_out[0][None])  # Says that a start is needed.
    begin = starting_poses(start, cut_out, run.origin)
    if color is None and all(bool((each[..., 3] == 1).all()) for each in given):
        color = torch.zeros(3)  # Nothing is behind: opacity need not be compared.
    return _refined_in_groups(run, given, begin, color, options)


def _refined_in_groups(
    run: Run,
    pictures: list[Picture],
    start: PoseEstimate,
    background: Float[Tensor, "3"] | None,
    options: RenderAndCompare,
) -> PoseEstimate:
    """Refine pictures of several sizes; those of one size together."""
    wanted = [
        _frame_size(start.cameras.sizes[k], picture) for k, picture in enumerate(pictures)
    ]
    groups: list[int] = []
    parts: list[PoseEstimate] = []
    for size in dict.fromkeys(wanted):
        index = [k for k, each in enumerate(wanted) if each == size]
        images = torch.stack([placed(pictures[k], *size) for k in index])
        begin = _select(start, torch.tensor(index))
        parts.append(refine(run, images, begin, background, options))
        groups += index
    return _select(joined(parts), torch.tensor(groups).argsort())


def refine(
    run: Run,
    images: Images,
    start: PoseEstimate,
    background: Float[Tensor, "3"] | None = None,
    options: RenderAndCompare | None = None,
) -> PoseEstimate:
    """Poses by render-and-compare with a model, from all modes of `start`.

    Where the descent ends at an image that fits worse than that at the start, the start is
    kept. Images that are larger than the training views are compared at the size of these.
    Computed on the run's device; the estimate is on that of the images, with cameras of their
    size.
    """
    _, height, width, _ = images.shape
    views = run.view_ranges
    scale = min(1.0, max(views["width"], views["height"]) / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = dataclasses.replace(start, cameras=start.cameras.resized(*size))
    # All of it is moved once, and not at every step of the descent.
    begin, target = resized.to(run.device), images.to(run.device)
    color = None if background is None else background.to(run.device)
    found = (options or RenderAndCompare()).estimate_from_modes(
        run.renderer, area_average_known(target, *size), begin, color, run.method.antialiased
    )
    cameras = found.cameras.resized(width, height)
    return dataclasses.replace(found, cameras=cameras).to(images.device)


def starting_poses(
    start: object, cut_out: list[Picture], origin: Origin = HERE
) -> PoseEstimate:
    """Where a refinement begins: an estimate, cameras, their file, or a pose flow.

    `origin` is that of the run, which is subtracted from the positions in a file.
    """
    if isinstance(start, PoseEstimate):
        found = start
    elif isinstance(start, Cameras):
        found = _without_errors(start)
    elif isinstance(start, str | Path):
        found = _without_errors(read_cameras(Path(start), origin).cameras)
    else:
        fitted = getattr(start, "fitted", None)
        if fitted is None:
            raise InputError(
                f"{type(start).__name__}: gives no starting poses: give cameras, their file, "
                "an estimate or a pose flow"
            )
        found = fitted.estimate_poses(torch.stack(cut_out))
    if len(found.cameras) != len(cut_out):
        raise InputError(
            f"{len(found.cameras)} starting cameras for {len(cut_out)} images: give one each"
        )
    return found


def squared(flow: Any, pictures: list[Picture]) -> list[Picture]:
    """What a pose flow reads: the central squares, all of its own size if theirs differ."""
    squares = [central_square(picture) for picture in pictures]
    side = getattr(flow, "image_size", None)
    if side is None or len({square.shape for square in squares}) == 1:
        return squares
    return [area_average(square, side, side) for square in squares]


def central_square(picture: Picture) -> Picture:
    """The largest square in the middle of a picture."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _frame_size(shape: tuple[int, int], picture: Picture) -> tuple[int, int]:
    """Width and height of a frame of this shape, whose longer side is that of the picture."""
    scale = max(picture.shape[:2]) / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def in_frame(picture: Picture, width: int, height: int) -> Picture:
    """A picture as a camera of this size sees it; see `placed`."""
    frame = placed(picture, *_frame_size((width, height), picture))
    return area_average_known(frame, width, height)


def placed(picture: Picture, width: int, height: int) -> Picture:
    """A picture in the frame of a camera, whose longer side is that of the picture.

    Their middles coincide. What sticks out is cropped, and what the picture does not cover is
    unknown: NaN. Shapes that are equal to a pixel are resized.
    """
    tall, wide, _ = picture.shape
    if abs(tall - height) <= 1 and abs(wide - width) <= 1:
        return area_average(picture, width, height)
    frame = picture.new_full((height, width, 4), math.nan)
    top, left = (height - tall) // 2, (width - wide) // 2
    inside = picture[max(-top, 0) :, max(-left, 0) :][:height, :width]
    y, x = max(top, 0), max(left, 0)
    frame[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return frame


def sizes_seen(run: Run, start: object) -> list[Size]:
    """The image sizes of the starting cameras in their order, or else of the run's own views.

    They say how photographs with an EXIF orientation were turned; see `imaging.orientation`.
    """
    if isinstance(start, str | Path):
        start = read_cameras(Path(start)).cameras
    if isinstance(start, PoseEstimate):
        start = start.cameras
    if isinstance(start, Cameras):
        return [start.sizes[k] for k in range(len(start))]
    known = run.record.cameras
    if known is not None:
        return list({known.cameras.sizes[k] for k in range(len(known.cameras.sizes.rows))})
    return [(run.view_ranges["width"], run.view_ranges["height"])]


def as_pictures(images: object, sizes: Sequence[Size] = ()) -> list[Picture]:
    """Premultiplied RGBA images, which may differ in size, from files, views or tensors."""
    if isinstance(images, str | Path):
        return read_pictures([images], sizes)
    if isinstance(images, Views):
        return [view.opaque[0] for view in images]
    if isinstance(images, Sequence):
        if images and all(isinstance(each, Tensor) for each in images):
            return [picture for each in images for picture in as_images(each)]
        return read_pictures(images, sizes)
    return list(as_images(images))


def as_images(images: object) -> Images:
    """Premultiplied RGBA of one size from files, views or tensors. InputError."""
    if isinstance(images, Views):
        return images.opaque
    if isinstance(images, Tensor):
        batch = images if images.ndim == 4 else images[None]
        if batch.ndim != 4 or batch.shape[-1] not in (3, 4):
            raise InputError(
                f"images of shape {tuple(images.shape)}: give [height, width, 3 or 4], or "
                "several of them"
            )
        if batch.shape[-1] == 4:
            return batch
        return torch.cat([batch, torch.ones_like(batch[..., :1])], dim=-1)
    if isinstance(images, str | Path):
        return read_images([images])
    if isinstance(images, Sequence):
        return read_images(images)
    raise InputError(f"{type(images).__name__}: is not images: give files or a tensor")


def read_pictures(paths: "Sequence[str | Path]", sizes: Sequence[Size] = ()) -> list[Picture]:
    """Read image files as premultiplied RGBA. InputError.

    They are turned as EXIF says, unless their camera is for the pixels as they are stored:
    `sizes` are those of their cameras, one each, or those of cameras that may be theirs.
    """
    if not paths:
        raise InputError("no image was given: name one or more image files")
    files = [Path(path) for path in paths]
    own = len(sizes) == len(files)
    return [
        read_rgba(path, shown_by(image_header(path), sizes[k : k + 1] if own else sizes))
        for k, path in enumerate(files)
    ]


def read_images(paths: "str | Path | Sequence[str | Path]") -> Images:
    """Read image files of one size as premultiplied RGBA; opaque where a file has no alpha.

    Returns [images, height, width, 4] in [0, 1]. InputError for files that are missing, damaged
    or of another size than the first.

    >>> import unrender as ur
    >>> ur.load("bricks", downscale=8).test[:2].save("views")
    >>> ur.read_images(["views/train/r_0.png", "views/train/r_1.png"]).shape
    torch.Size([2, 20, 20, 4])
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    images = read_pictures(files)
    for path, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            size, first = ("×".join(map(str, i.shape[1::-1])) for i in (image, images[0]))
            raise InputError(
                f"{path}: is {size} pixels and {files[0]} {first}: give images of one size"
            )
    return torch.stack(images)


def background_of(
    run: Run, images: Sequence[Picture], background: Color | None
) -> Float[Tensor, "3"] | None:
    """The color behind images without alpha; None where alpha or the scene itself is there."""
    if isinstance(background, str) and background == OPAQUE:
        return None
    given = None if background is None else as_color(background)
    if any(bool((image[..., 3] < 1).any()) for image in images):
        return None
    if given is not None:
        return given
    recorded = run.view_ranges.get("background")
    if recorded is not None:
        return torch.tensor(recorded)
    return None if is_opaque(run) else torch.ones(3)


def is_opaque(run: Run) -> bool:
    """Whether a run was fitted to photographs with their background, which it then renders.

    Where an older run did not record it: if what some of its training cameras see at their
    borders is mostly opaque.
    """
    if "opaque" in run.view_ranges:
        return run.opaque
    if run.record.cameras is None or not run.method.makes_images or run.image_size:
        return False
    cameras = run.cameras
    small = cameras.with_sizes(cameras.sizes.with_longer_side(LOOK_SIDE)).to(run.device)
    border: list[Tensor] = []
    for k in evenly(LOOKS, len(small)):
        with torch.no_grad():
            opacity = run.renderer(small[k]).opacity[0]
        border += [opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]]
    return float(torch.cat(border).mean()) > 0.5


def described(run: Run, cameras: Cameras) -> ViewAngles:
    """Look-at points and angles about what the run's training cameras look at."""
    known = run.record.cameras
    if known is None:
        return view_angles(cameras, torch.zeros(3), torch.tensor(UP))
    return view_angles(cameras, focus_point(known.cameras), upwards(known.cameras))


def unlike(run: Run, estimate: PoseEstimate, index: int) -> str | None:
    """A warning where an image fits its render much worse than the run's own views do theirs.

    They are the held-out views of its evaluation, or the training views of its log.
    """
    if estimate.misfit is None:
        return None
    held_out = run.record.evaluation.get("psnr")
    logged = [entry["psnr"] for entry in run.metrics if "psnr" in entry]
    if isinstance(held_out, float):
        kind, usual = "held-out", held_out
    elif logged and run.method.makes_images:
        last = sorted(logged[-9:])
        kind, usual = "training", last[len(last) // 2]
    else:
        return None
    found = -10 * math.log10(max(float(estimate.misfit[index]), 1e-10))
    if found > usual - FAR_BELOW[kind]:
        return None
    return (
        f"the render at this pose fits it at {found:.1f} dB, and the run's {kind} views at "
        f"{usual:.1f} dB: it shows something else, or its start was too far away"
    )


def expected_error(estimate: PoseEstimate, index: int) -> str:
    """How precise an estimate is expected to be, in words."""
    x, y, z = estimate.axis_errors[index].rad2deg().tolist()
    whole = math.degrees(float(estimate.rotation_error[index]))
    text = f"rotation expected within {whole:.2f}° (x {x:.2f}°, y {y:.2f}°, z {z:.2f}°)"
    shares = [] if estimate.modes is None else estimate.modes.share[index].tolist()
    likely = [f"{share:.0%}" for share in shares if share > 0]
    return text + (f", {len(likely)} modes: {', '.join(likely)}" if len(likely) > 1 else "")


def _select(estimate: PoseEstimate, index: Tensor) -> PoseEstimate:
    modes = estimate.modes
    return dataclasses.replace(
        estimate,
        cameras=estimate.cameras.select(index),
        axis_errors=estimate.axis_errors[index],
        translation_error=estimate.translation_error[index],
        misfit=None if estimate.misfit is None else estimate.misfit[index],
        modes=None
        if modes is None
        else dataclasses.replace(
            modes, world_from_camera=modes.world_from_camera[index], share=modes.share[index]
        ),
    )


def _without_errors(cameras: Cameras) -> PoseEstimate:
    unknown = torch.full((len(cameras),), math.nan)
    return PoseEstimate.isotropic(cameras, unknown, unknown)

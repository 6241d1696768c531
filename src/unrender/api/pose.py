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
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import Color, as_color, matte
from unrender.imaging.files import read_rgba
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.rendering.renderer import Images, PoseEstimate

if TYPE_CHECKING:
    from unrender.api.run import Run
else:
    Run = Any

OPAQUE = "opaque"
"""A background that belongs to the scene: nothing is cut out."""


def find_poses(
    run: Run,
    images: object,
    start: object,
    background: Color | None,
    options: RenderAndCompare,
) -> PoseEstimate:
    """What `Run.pose` does. InputError."""
    given = as_images(images)
    color = background_of(run, given, background)
    cut_out = given if color is None else matte(given[..., :3], color)
    if run.method.finds_poses:
        if start is not None:
            raise InputError(f"{run.label}: finds poses by itself: leave `start` out")
        return run.fitted.estimate_poses(cut_out)
    if start is None:
        return run.fitted.estimate_poses(cut_out)  # Says that a start is needed.
    return refine(run, given, starting_poses(start, cut_out), color, options)


def refine(
    run: Run,
    images: Images,
    start: PoseEstimate,
    background: Float[Tensor, "3"] | None = None,
    options: RenderAndCompare | None = None,
) -> PoseEstimate:
    """Poses by render-and-compare with a model, from all modes of `start`.

    Where the descent ends at an image that fits worse than that at the start, the start is
    kept. Computed on the run's device; the estimate is on that of the images.
    """
    _, height, width, _ = images.shape
    resized = dataclasses.replace(start, cameras=start.cameras.resized(width, height))
    # All of it is moved once, and not at every step of the descent.
    begin, target = resized.to(run.device), images.to(run.device)
    color = None if background is None else background.to(run.device)
    refinement = options or RenderAndCompare()
    found = refinement.estimate_from_modes(run.renderer, target, begin, color)
    return found.to(images.device)


def starting_poses(start: object, cut_out: Images) -> PoseEstimate:
    """Where a refinement begins: an estimate, cameras, their file, or a pose flow."""
    if isinstance(start, PoseEstimate):
        found = start
    elif isinstance(start, Cameras):
        found = _without_errors(start)
    elif isinstance(start, str | Path):
        found = _without_errors(read_cameras(Path(start)).cameras)
    else:
        fitted = getattr(start, "fitted", None)
        if fitted is None:
            raise InputError(
                f"{type(start).__name__}: gives no starting poses: give cameras, their file, "
                "an estimate or a pose flow"
            )
        found = fitted.estimate_poses(cut_out)
    if len(found.cameras) != len(cut_out):
        raise InputError(
            f"{len(found.cameras)} starting cameras for {len(cut_out)} images: give one each"
        )
    return found


def as_images(images: object) -> Images:
    """Premultiplied RGBA from files, views or tensors. InputError."""
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
    if not files:
        raise InputError("no image was given: name one or more image files")
    images = [read_rgba(path) for path in files]
    for path, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            size, first = ("×".join(map(str, i.shape[1::-1])) for i in (image, images[0]))
            raise InputError(
                f"{path}: is {size} pixels and {files[0]} {first}: give images of one size"
            )
    return torch.stack(images)


def background_of(
    run: Run, images: Images, background: Color | None
) -> Float[Tensor, "3"] | None:
    """The color behind images without alpha; None where alpha or the scene itself is there."""
    if isinstance(background, str) and background == OPAQUE:
        return None
    if background is None and run.opaque:
        return None
    given = None if background is None else as_color(background)
    if bool((images[..., 3] < 1).any()):
        return None
    if given is not None:
        return given
    recorded = run.view_ranges.get("background")
    return torch.ones(3) if recorded is None else torch.tensor(recorded)


def expected_error(estimate: PoseEstimate, index: int) -> str:
    """How precise an estimate is expected to be, in words."""
    x, y, z = estimate.axis_errors[index].rad2deg().tolist()
    whole = math.degrees(float(estimate.rotation_error[index]))
    text = f"rotation expected within {whole:.2f}° (x {x:.2f}°, y {y:.2f}°, z {z:.2f}°)"
    shares = [] if estimate.modes is None else estimate.modes.share[index].tolist()
    likely = [f"{share:.0%}" for share in shares if share > 0]
    return text + (f", {len(likely)} modes: {', '.join(likely)}" if len(likely) > 1 else "")


def _without_errors(cameras: Cameras) -> PoseEstimate:
    unknown = torch.full((len(cameras),), math.nan)
    return PoseEstimate.isotropic(cameras, unknown, unknown)

"""`unrender pose`: camera poses of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unrender.app.choices import Background
from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_target
from unrender.training.options import Device

if TYPE_CHECKING:
    from torch import Tensor

    from unrender.api.pose import Picture
    from unrender.api.run import Run
    from unrender.rendering.renderer import PoseEstimate

SHOWN = 6
"""Images in the overlay, at most."""
SIDE = 384
"""Pixels of the longer side of each of them, at most."""


def pose(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    images: Annotated[tuple[Path, ...], Words(positional=True, metavar="IMAGE")],
    out: Annotated[Path, Words(metavar="FILE.json")] = Path("cameras.json"),
    overlay: bool = True,
    background: Background = "auto",
    start: Annotated[Path | None, Words(metavar="FILE.json", box="refinement")] = None,
    flow: Annotated[Path | None, Words(metavar="RUN", box="refinement")] = None,
    coarse_steps: Annotated[int, Words(box="refinement")] = 60,
    fine_steps: Annotated[int, Words(box="refinement")] = 120,
    pixels: Annotated[int, Words(box="refinement")] = 24,
    rate: Annotated[float, Words(box="refinement")] = 0.02,
    final_rate: Annotated[float, Words(box="refinement")] = 0.02,
    newton_steps: Annotated[int, Words(box="refinement")] = 6,
    seed: Annotated[int, Words(box="refinement")] = 0,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Estimate the camera poses of images: by a pose flow, or by render-and-compare.

    A pose flow (`unrender fit sit`) finds poses from the images alone, of objects that are cut
    out or on a constant background. A radiance field or surface refines poses that it is given
    by --start or --flow, by comparing its renders with the images (iNeRF): also those of
    photographs with their background. What it returns never fits worse than the start.

    Photographs may differ in size. They are placed in the middle of the frames of the starting
    cameras, scaled to the same longer side, with the focal length and the principal point of
    these; what sticks out is cropped, and what is missing is left out of the comparison.
    Orientations in EXIF are respected.

    Printed are the camera's position; the point of its optical axis that is nearest to what the
    training cameras look at; the azimuth and elevation of the camera seen from there, about the
    training cameras' up direction (z, if they stand upright); and its roll, clockwise. All
    lengths are in scene units.

    Args:
        run: The run folder of a pose flow, or of a radiance field with --start or --flow.
        images: Image files: RGBA, or RGB on a constant background or with the scene's own.
        out: The JSON to write: cameras in the layout of transforms.json, with expected errors.
        overlay: Also write a .png beside --out: the images, renders at the poses found, and
            both blended.
        background: Color behind images without alpha; auto takes that of the training images;
            opaque, the background belongs to the scene, if the run was fitted to such images;
            else white.
        start: Cameras to refine, in the order of the images.
        flow: Run folder of the pose flow whose estimate is refined.
        coarse_steps: Steps on images of a quarter of the size.
        fine_steps: Steps on the images themselves.
        pixels: Pixels per side of the lattice that a step compares.
        rate: First step of the descent, in radians and shares of the distance.
        final_rate: Share of the rate that is left at the end.
        newton_steps: Steps at each level from coarse to fine, for Gaussians, which are compared
            on whole images; the options above are for the other models.
        seed: Seed of the lattices.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the file only.

    Examples:
        unrender pose runs/flow photo.png
        unrender pose runs/bricks photo.png --flow runs/flow --out refined.json
        unrender pose runs/capture photo.jpg --start roughly.json
    """
    note(f"Reading {run}", quiet)
    from unrender.api.pose import unlike  # noqa: PLC0415 - imports torch
    from unrender.api.run import Run  # noqa: PLC0415
    from unrender.data.formats.camera_files import NamedCameras, write_cameras  # noqa: PLC0415
    from unrender.inverse.photometric_poses import RenderAndCompare  # noqa: PLC0415
    from unrender.training.progress import working  # noqa: PLC0415

    check_target(out, (".json",))
    options = RenderAndCompare(
        coarse_steps, fine_steps, pixels, rate, final_rate, newton_steps, seed
    )
    opened = Run.open(run, device)
    pictures, color = _read(opened, images, start, background, quiet)
    begin: Run | Path | None = start
    if opened.method.finds_poses and (start or flow):
        raise InputError(f"{run}: finds poses by itself: leave --start and --flow out")
    if not opened.method.finds_poses and opened.method.any_size:
        if (start is None) == (flow is None):
            raise InputError(
                f"{run}: refines poses that it is given: name either --start FILE or --flow RUN"
            )
        begin = start if flow is None else Run.open(flow, device)
    with working("Estimating poses", not quiet):
        estimate = opened.pose(pictures, start=begin, background=color, options=options)
    names = tuple(str(path) for path in images)
    write_cameras(out, NamedCameras(estimate.cameras, names, opened.origin), estimate)
    if not quiet:
        for name, line in zip(names, _in_words(opened, estimate), strict=True):
            print(f"{name}: {line}")
    for index, name in enumerate(names):
        warning = None if opened.method.finds_poses else unlike(opened, estimate, index)
        if warning:
            note(f"warning: {name}: {warning}")
    if overlay and opened.method.makes_images:
        picture = out.with_suffix(".png")
        square = opened.method.finds_poses or flow is not None
        _write_overlay(picture, opened, pictures, estimate, names, color, square)
        if not quiet:
            print(f"Overlay: {picture}")
    print(out)


def _read(
    run: "Run",
    paths: tuple[Path, ...],
    start: Path | None,
    background: Background,
    quiet: bool,
) -> "tuple[list[Picture], str]":
    """The images, and what is behind them: a color, or opaque for the scene itself."""
    from unrender.api.pose import (  # noqa: PLC0415 - imports torch
        background_of,
        read_pictures,
        sizes_seen,
    )

    pictures = read_pictures(paths, sizes_seen(run, start))
    sides = {min(picture.shape[:2]) for picture in pictures}
    if not run.method.any_size and any(p.shape[0] != p.shape[1] for p in pictures):
        what = f"the central {min(sides)}×{min(sides)} pixels" if len(sides) == 1 else "squares"
        note(f"note: cropped to {what}: a pose flow is square", quiet)
    if background != "auto":
        return pictures, background
    color = background_of(run, pictures, None)
    if color is None:
        return pictures, "opaque"
    if run.view_ranges.get("background") is None:
        note(
            f"note: {paths[0]} has no alpha: white is taken for the background; --background "
            "black or opaque says otherwise",
            quiet,
        )
    return pictures, "white" if float(color.mean()) > 0.5 else "black"


def _in_words(run: "Run", estimate: "PoseEstimate") -> list[str]:
    """Position, look-at point, angles, and expected errors of each camera."""
    from unrender.api.pose import described, expected_error  # noqa: PLC0415 - imports torch

    angles = described(run, estimate.cameras)
    lines: list[str] = []
    for index in range(len(estimate)):
        position, target = (
            ", ".join(f"{value:.3g}" for value in vector[index].tolist())
            for vector in (estimate.cameras.centers, angles.target)
        )
        azimuth, elevation, roll = (
            f"{float(each[index]):.1f}°"
            for each in (angles.azimuth, angles.elevation, angles.roll)
        )
        words = (
            f"camera at ({position}), looking at ({target}); azimuth {azimuth}, "
            f"elevation {elevation}, roll {roll}"
        )
        known = bool(estimate.rotation_error[index].isfinite())
        lines.append(f"{words}; {expected_error(estimate, index)}" if known else words)
    return lines


def _write_overlay(
    path: Path,
    run: "Run",
    pictures: "list[Picture]",
    estimate: "PoseEstimate",
    names: tuple[str, ...],
    background: str,
    square: bool,
) -> None:
    """Each image, the render at its pose below it, and both blended."""
    import torch  # noqa: PLC0415

    from unrender.api.pose import central_square, in_frame  # noqa: PLC0415
    from unrender.geometry.paths import evenly  # noqa: PLC0415
    from unrender.imaging.color import as_color, over  # noqa: PLC0415
    from unrender.report.pictures import write_picture  # noqa: PLC0415 - matplotlib

    behind = as_color("white" if background == "opaque" else background)
    chosen = evenly(SHOWN, len(pictures))
    photos: list[Tensor] = []
    renders: list[Tensor] = []
    both: list[Tensor] = []
    for k in chosen:
        camera = estimate.cameras[k]
        size = None if run.image_size else min(SIDE, max(camera.width, camera.height))
        render = run.render(camera, size=size, progress=False).over(behind)[0].clamp(0, 1)
        height, width, _ = render.shape
        given = central_square(pictures[k]) if square else pictures[k]
        photo = over(in_frame(given, width, height), behind)
        blank = photo.isnan()
        photos.append(torch.where(blank, torch.ones_like(photo), photo))
        renders.append(render)
        both.append(torch.where(blank, render, (photo + render) / 2))
    heads = [Path(names[k]).name for k in chosen]
    rows = [("image", photos), ("render at\nthe pose", renders), ("both,\nblended", both)]
    write_picture(path, rows, 150, heads if len(heads) < 4 else ())
